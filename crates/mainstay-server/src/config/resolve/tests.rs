//! What the layers come to, and every problem at once.

use super::*;

fn load(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Loaded {
    Loaded::from_sources(&Sources {
        file: Some(("mainstay.toml".to_owned(), file.to_owned())),
        environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        flags: flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
    })
}

fn value(loaded: &Loaded, setting: &str) -> (String, String) {
    let line = loaded.effective.iter().find(|line| line.setting == setting).unwrap();
    (line.value.clone(), line.origin.clone())
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = Loaded::from_sources(&Sources::default()).into_config().unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:7800");
    assert!(config.data.is_absolute() && config.data.ends_with("mainstay-data"));
    assert!(config.database.expose().starts_with("sqlite:///") && config.database_is_default);
    assert!(!config.dev);
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let loaded = load(
        "listen = \"127.0.0.1:1\"\nsession_lifetime = \"1h\"\nlog = \"debug\"\n",
        &[("MAINSTAY_LISTEN", "127.0.0.1:2"), ("MAINSTAY_SESSION_LIFETIME", "2h"), ("PATH", "/bin")],
        &[("listen", "127.0.0.1:3")],
    );
    assert_eq!(value(&loaded, "listen"), ("127.0.0.1:3".to_owned(), "--listen".to_owned()));
    assert_eq!(value(&loaded, "session_lifetime"), ("2h".to_owned(), "MAINSTAY_SESSION_LIFETIME".to_owned()));
    assert_eq!(value(&loaded, "log"), ("debug".to_owned(), "mainstay.toml".to_owned()));
    assert_eq!(loaded.into_config().unwrap().session_lifetime, Duration::from_secs(7200));
}

#[test]
fn every_problem_is_told_at_once() {
    let loaded = load(
        "listn = \"x\"\nlog_format = \"xml\"\nsession_lifetime = \"0s\"\n[table]\n",
        &[("MAINSTAY_PUBLIC_URL", "https://a/b"), ("MAINSTAY_PUBLC_URL", "https://a")],
        &[("dev", "maybe"), ("listen", "nowhere"), ("database", "mysql://me:hunter2@db/x")],
    );
    let settings: Vec<&str> = loaded.problems.iter().map(|problem| problem.setting.as_str()).collect();
    for expected in
        ["listn", "table", "log_format", "session_lifetime", "public_url", "dev", "listen", "database"]
    {
        assert!(settings.contains(&expected), "{expected} is missing in {settings:?}");
    }
    assert!(loaded.problems.iter().any(|problem| problem.mend == "did you mean listen?"));
    assert!(loaded.warnings.iter().any(|warning| warning.contains("did you mean public_url?")));
    let everything = format!("{loaded:?}");
    assert!(!everything.contains("hunter2"), "{everything}");
    assert!(loaded.into_config().is_err());
}

#[test]
fn the_development_provider_stays_on_this_machine() {
    let flags = [("dev", "true"), ("listen", "0.0.0.0:7800")];
    assert!(load("", &[], &flags).into_config().is_err());
    assert!(load("allow_dev_on_network = true", &[], &flags).into_config().is_ok());
    assert!(load("", &[], &[("dev", "true")]).into_config().is_ok());
    assert!(load("public_url = \"https://id.example.com\"", &[], &[("dev", "true")]).into_config().is_err());
    assert!(load("public_url = \"http://localhost:7800\"", &[], &[("dev", "true")]).into_config().is_ok());
}

#[test]
fn times_have_limits() {
    let limit = Duration::from_secs(3600);
    assert_eq!(parse_time("3600s", limit), Ok(limit));
    assert_eq!(parse_time("1h", limit), Ok(limit));
    for wrong in ["", "s", "1", "h1", "-1s", "3601s", "61m", "0s", "1w", "99999999999999999999d", "1é"] {
        assert!(parse_time(wrong, limit).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_not_toml_is_told() {
    let loaded = load("listen =", &[], &[]);
    assert_eq!(loaded.problems.len(), 1);
    assert!(loaded.problems[0].message.contains("not TOML"), "{:?}", loaded.problems);
}

#[test]
fn a_directory_of_any_name_holds_the_database() {
    let config = load("", &[], &[("data", "/tmp/50% ?#")]).into_config().unwrap();
    assert_eq!(config.database.expose(), "sqlite:///tmp/50%25 %3f%23/mainstay.db");
}

#[test]
fn tls_needs_both_files() {
    assert!(load("tls_key = \"k\"", &[], &[]).into_config().is_err());
    assert!(load("tls_certificate = \"c\"", &[], &[]).into_config().is_err());
    let config = load("tls_certificate = \"c\"\ntls_key = \"k\"", &[], &[]).into_config().unwrap();
    assert_eq!(config.tls.unwrap().key, Path::new("k"));
    assert_eq!(load("", &[], &[]).into_config().unwrap().tls, None);
}

#[test]
fn peers_are_urls_and_not_without_end() {
    let peers =
        |flags: &str| load("", &[], &[("peers", flags)]).into_config().map(|config| config.peers.len());
    assert_eq!(peers("").unwrap(), 0);
    assert_eq!(peers("http://10.0.0.2:7800, https://b.example").unwrap(), 2);
    let listed = load("peers = [\"http://a:1\", \"http://b:2\"]", &[], &[]).into_config().unwrap().peers;
    let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["http://a:1", "http://b:2"]);
    for wrong in ["b.example", "http://b.example/path", "http://me@b.example"] {
        assert!(peers(wrong).is_err(), "{wrong}");
    }
    let standbys = load("", &[], &[("standbys", "http://10.0.0.2:7800")]).into_config().unwrap().standbys;
    assert_eq!(standbys.len(), 1);
    let many = |count: usize| vec!["http://b.example"; count].join(",");
    assert_eq!(peers(&many(limits::PEERS)).unwrap(), limits::PEERS);
    assert!(peers(&many(limits::PEERS + 1)).is_err());
}
