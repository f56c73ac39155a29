//! Starts the service: `embed-repo DATABASE_URL [ADDRESS]`.

use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: embed-repo DATABASE_URL [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let repo = embed_repo::open(&url).await?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, embed_repo::router(repo.clone()))
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    // What was accepted is committed before the program ends.
    repo.close().await;
    Ok(())
}
