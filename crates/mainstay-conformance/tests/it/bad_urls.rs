//! URLs that name no database: each is refused before anything is opened, and the text says how to write it.

use mainstay_repo::{DatabaseUrl, ErrorKind, Repo};

use crate::support::check_error;

#[tokio::test]
async fn what_is_no_url_is_refused_by_name() {
    for (url, words) in [
        ("", &["no scheme", "sqlite://", "postgres://"][..]),
        ("app.db", &["no scheme"]),
        ("/var/lib/app.db", &["no scheme"]),
        ("mysql://host/db", &["\"mysql\"", "not known", "sqlite", "postgres"]),
        ("SQLITE:///a.db", &["not known"]),
        ("litefs:///a.db", &["litefs"]),
        ("sqlite:/a.db", &["two slashes", "sqlite:///"]),
        ("sqlite://", &["names no file"]),
        ("sqlite://:memory:", &["memory"]),
        ("sqlite:///a%zz.db", &["percent"]),
        ("sqlite:///a.db?sync=full", &["\"sync\"", "not known", "synchronous"]),
        ("sqlite:///a.db?synchronous=off", &["synchronous", "full or normal"]),
        ("sqlite:///a.db?readers=0", &["readers", "1 to 64"]),
        ("sqlite:///a.db?readers=65", &["readers"]),
        ("sqlite:///a.db?readers=many", &["readers"]),
        ("sqlite:///a.db?busy_timeout_ms=-1", &["busy_timeout_ms"]),
        ("sqlite:///a.db?create=maybe", &["create", "true or false"]),
        ("postgres:///", &["host"]),
        ("postgres://host:port/db", &["port"]),
        ("postgres://h/d?poolsize=3", &["\"poolsize\"", "not known", "pool_size"]),
        ("postgres://h/d?pool_size=0", &["pool_size", "1 to"]),
        ("postgres://h/d?sslmode=maybe", &["sslmode", "verify-full"]),
        ("postgres://h/d?schema=No%22", &["schema", "lower-case"]),
        ("postgres://h/d?pooler=session", &["pooler", "transaction"]),
    ] {
        let error = Repo::connect(url).await.unwrap_err();
        check_error(&error, &ErrorKind::Configuration, words);
        assert!(
            error.help().is_some() || error.message().contains("takes") || error.message().contains("1 to"),
            "{error}"
        );
    }
}

#[test]
fn no_text_shows_a_password() {
    for url in [
        "postgres://u:hunter2@h/d",
        "postgres://u:hunter2@h:port/d",
        "postgres://u:hunter2@h/d?nonsense=1",
        "postgres://u@h/d?password=hunter2",
        "postgres://u@h/d?password=hunter2&nonsense=1",
        "mysql://u:hunter2@h/d",
    ] {
        let told = match DatabaseUrl::parse(url) {
            Ok(parsed) => format!("{parsed} {parsed:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains("hunter2"), "{url}: {told}");
    }
}
