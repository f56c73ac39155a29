//! SQL behind the back of the code that is tested, on a connection and a thread of its own.

use std::time::Duration;

use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Runs statements.
pub(super) fn execute(url: &str, sql: &str) -> Result<(), String> {
    query(url, sql).map(drop)
}

/// Runs statements and returns the first column of each row; null is the empty text.
pub(super) fn query(url: &str, sql: &str) -> Result<Vec<String>, String> {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    // A thread, because the caller may be inside a runtime, or in a destructor.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), run(&url, &sql))
                .await
                .map_err(|_| "the server did not answer in a minute".to_owned())?
                .map_err(|error| full_text(&error))
        })
    })
    .join()
    .map_err(|_| "the thread for the server's answer panicked".to_owned())?
}

async fn run(url: &str, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    let messages = client.simple_query(sql).await;
    drop(client);
    drop(driver.await);
    let rows = messages?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    Ok(rows.collect())
}

fn full_text(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The same server's URL with another database.
pub(super) fn with_database(url: &str, database: &str) -> String {
    let (address, options) = match url.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (url, String::new()),
    };
    let authority_at = address.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = address.split_at(authority_at);
    let authority = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}{authority}/{database}{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_is_replaced() {
        for (url, expected) in [
            ("postgres://u:p@h:1/old?sslmode=disable", "postgres://u:p@h:1/new?sslmode=disable"),
            ("postgres://u@h", "postgres://u@h/new"),
            ("postgres://u@h/", "postgres://u@h/new"),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }
}
