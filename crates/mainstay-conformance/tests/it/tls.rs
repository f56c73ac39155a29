//! TLS to PostgreSQL, with real certificates: who is trusted, who is not, and what the error says.

use std::time::Duration;

use mainstay_conformance::linked;
use mainstay_repo::{Error, ErrorKind, Repo, Statement, Target};
use mainstay_testkit::{Polled, PostgresDatabase, PrivateCluster, Proxy, at_most_polls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::support::{all_kv, check_error, create_kv, kind, put, scalar, soon};

/// A certificate authority and the file that names it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), directory }
    }

    /// A certificate for `localhost` and its key, both PEM, that ends on the first day of a year.
    fn certificate(&self, ends_in: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(ends_in, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The options that trust this authority.
    fn trusted(&self, mode: &str) -> String {
        format!("sslmode={mode}&sslrootcert={}", self.directory.path().join("ca.pem").display())
    }
}

/// A server with TLS, the authority that it is to be trusted by, and a database.
struct Served {
    cluster: PrivateCluster,
    authority: Authority,
    database: PostgresDatabase,
}

fn serve() -> Served {
    let cluster = PrivateCluster::start();
    let authority = Authority::new("Mainstay tests");
    let (certificate, key) = authority.certificate(2999);
    cluster.serve_tls(&certificate, &key);
    let database = cluster.database();
    Served { cluster, authority, database }
}

impl Served {
    /// The database's URL by the name in the certificate.
    fn url(&self, options: &str) -> String {
        format!("{}?{options}", self.database.url().replace("@127.0.0.1:", "@localhost:"))
    }

    async fn repo(&self, options: &str) -> Repo {
        soon(Repo::connect(&self.url(options))).await.unwrap()
    }
}

async fn refused(url: &str) -> Error {
    soon(Repo::connect(url)).await.map(drop).unwrap_err()
}

const IS_ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// Whether reads are encrypted, and a write too.
async fn is_encrypted(repo: &Repo) -> bool {
    let read: bool = scalar(repo, Statement::new(IS_ENCRYPTED)).await;
    let mut tx = repo.begin().await.unwrap();
    let inside: bool = tx.read(Statement::new(IS_ENCRYPTED)).await.unwrap()[0].get_at(0).unwrap();
    tx.rollback().await.unwrap();
    let sql = "INSERT INTO seen (ssl) SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid() RETURNING ssl";
    repo.write(Statement::new("CREATE TABLE IF NOT EXISTS seen (ssl boolean)")).await.unwrap();
    let written: bool = repo.write(Statement::new(sql)).await.unwrap().rows()[0].get("ssl").unwrap();
    assert_eq!((read, read), (inside, written), "some connections are encrypted and some are not");
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_encrypts_what_it_says() {
    let served = serve();
    for (options, encrypted) in [
        (served.authority.trusted("verify-full"), true),
        (served.authority.trusted("verify-ca"), true),
        (served.authority.trusted("require"), true),
        ("sslmode=require".to_owned(), true),
        ("sslmode=prefer".to_owned(), true),
        (String::new(), true),
        ("sslmode=disable".to_owned(), false),
    ] {
        let repo = served.repo(&options).await;
        assert_eq!(is_encrypted(&repo).await, encrypted, "{options}");
        repo.close().await;
    }
    let repo = served.repo(&served.authority.trusted("verify-full")).await;
    repo.migrator().migrate(&linked::COMPONENT, Target::Latest).await.unwrap();
    for id in 0..20 {
        repo.batch(linked::pair(&id.to_string(), 100_000)).await.unwrap();
    }
    assert_eq!(repo.read(linked::whole_pairs()).await.unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_trusted_is_refused() {
    let served = serve();
    let stranger = Authority::new("Somebody else");
    let wrong = |error: &Error, words: &[&str]| {
        check_error(error, &ErrorKind::Configuration, &[words, &["certificate", "localhost"]].concat());
        assert!(error.help().is_some_and(|help| help.contains("ssl")), "no mend in {error:?}");
        assert!(!format!("{error} {error:?}").contains("only-for-tests"), "the password shows in {error:?}");
    };
    for mode in ["verify-full", "verify-ca", "require"] {
        wrong(&refused(&served.url(&stranger.trusted(mode))).await, &["authority", "sslrootcert"]);
    }
    // The system's authorities do not know it either, or there are none.
    let error = refused(&served.url("sslmode=verify-full")).await;
    check_error(&error, &ErrorKind::Configuration, &["certificate", "sslrootcert"]);

    let by_address =
        served.url(&served.authority.trusted("verify-full")).replace("@localhost:", "@127.0.0.1:");
    let error = refused(&by_address).await;
    check_error(&error, &ErrorKind::Configuration, &["127.0.0.1", "not valid for", "localhost", "verify-ca"]);
    let by_address = served.url(&served.authority.trusted("verify-ca")).replace("@localhost:", "@127.0.0.1:");
    soon(Repo::connect(&by_address)).await.unwrap();

    let (certificate, key) = served.authority.certificate(2021);
    served.cluster.serve_tls(&certificate, &key);
    for mode in ["verify-full", "verify-ca"] {
        wrong(&refused(&served.url(&served.authority.trusted(mode))).await, &["expired", "renew"]);
    }
    let unchecked = served.repo("sslmode=require").await;
    assert!(is_encrypted(&unchecked).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls() {
    let cluster = PrivateCluster::start();
    let database = cluster.database();
    let authority = Authority::new("Mainstay tests");
    for options in ["sslmode=require", &authority.trusted("verify-ca"), &authority.trusted("verify-full")] {
        let error = refused(&format!("{}?{options}", database.url())).await;
        check_error(&error, &ErrorKind::Configuration, &["TLS", "127.0.0.1", "does not support"]);
        assert!(error.help().is_some_and(|help| help.contains("ssl = on")), "{error:?}");
    }
    for options in ["sslmode=prefer", "sslmode=disable"] {
        let repo = soon(Repo::connect(&format!("{}?{options}", database.url()))).await.unwrap();
        assert!(!is_encrypted(&repo).await, "{options}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_over_tls() {
    let served = serve();
    let scram = served
        .cluster
        .query("SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'mainstay'");
    assert_eq!(scram, ["t"]);
    // With TLS the password is bound to the channel; without, it is not.
    for options in [served.authority.trusted("verify-full"), "sslmode=disable".to_owned()] {
        let url = served.url(&options).replace(":only-for-tests@", ":swordfish@");
        let error = refused(&url).await;
        check_error(&error, &ErrorKind::PermissionDenied, &["password", "mainstay"]);
        assert!(!format!("{error} {error:?}").contains("swordfish"), "{error:?}");
        let none = served.url(&options).replace(":only-for-tests@", "@");
        check_error(&refused(&none).await, &ErrorKind::PermissionDenied, &["password"]);
    }
    let bound = format!("{}&channel_binding=require", served.authority.trusted("verify-full"));
    assert!(is_encrypted(&served.repo(&bound).await).await);
    let error = refused(&served.url("sslmode=disable&channel_binding=require")).await;
    check_error(&error, &ErrorKind::PermissionDenied, &["channel binding"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_and_cut_connections_over_tls() {
    let served = serve();
    let proxy = Proxy::start(served.cluster.address()).await;
    let port = served.cluster.address().port();
    let url = served.url(&served.authority.trusted("verify-full"));
    let url = url.replace(&format!(":{port}/"), &format!(":{}/", proxy.address().port()));
    let repo = soon(Repo::connect(&url)).await.unwrap();
    create_kv(&repo).await;

    let hurried = repo.clone().within(Duration::from_millis(300));
    let error = soon(hurried.read(Statement::new("SELECT 1 AS one FROM pg_sleep(600)"))).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Timeout, "{error:?}");
    let slow = Statement::new("INSERT INTO kv (id, n) SELECT 1, 1 FROM pg_sleep(600)");
    let error = soon(hurried.write(slow)).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Timeout, "{error:?}");
    nothing_sleeps(&served).await;
    let reading = repo.read(Statement::new("SELECT 1 AS one FROM pg_sleep(600)"));
    assert!(matches!(at_most_polls(2, reading).await, Polled::Dropped));
    nothing_sleeps(&served).await;

    for id in 10..30 {
        proxy.cut();
        mainstay_testkit::eventually("a write arrives again", async || {
            let result = soon(repo.write(put(id, 1))).await;
            // One whose connection was cut in the middle may have arrived.
            result.is_ok()
                || result.is_err_and(|error| {
                    kind(&error) == ErrorKind::Conflict { constraint: "kv_pkey".to_owned() }
                })
        })
        .await;
        soon(repo.read(Statement::new("SELECT 1 AS one"))).await.unwrap();
    }
    assert_eq!(all_kv(&repo).await.len(), 20);
    assert!(is_encrypted(&repo).await);
    served.cluster.restart();
    mainstay_testkit::eventually("the server answers again", async || {
        soon(repo.write(put(99, 1))).await.is_ok()
    })
    .await;
    assert!(is_encrypted(&repo).await);
}

/// What was cancelled does not go on at the server.
async fn nothing_sleeps(served: &Served) {
    mainstay_testkit::eventually("nothing sleeps at the server", async || {
        let sleeping =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'";
        served.cluster.query(sleeping) == ["0"]
    })
    .await;
}
