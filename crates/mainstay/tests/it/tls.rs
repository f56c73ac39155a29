//! TLS without a reverse proxy, and certificates that are renewed while it runs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_testkit::pause;

use crate::http::request;
use crate::support::server::{Server, free_port};

type Key = rcgen::CertifiedKey<rcgen::KeyPair>;

fn key() -> Key {
    rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

/// Writes both files as renewal programs do: whole, under another name, then in their place.
fn install(directory: &Path, key: &Key) {
    for (name, text) in [("chain.pem", key.cert.pem()), ("key.pem", key.signing_key.serialize_pem())] {
        replace(directory, name, &text);
    }
}

fn replace(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join("new"), text).unwrap();
    fs::rename(directory.join("new"), directory.join(name)).unwrap();
}

/// A server that speaks TLS as `localhost`, with the files of [`install`].
fn serve(directory: &Path) -> Server {
    let path = |name: &str| directory.join(name).display().to_string();
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("https://localhost:{}", listen.split(':').nth(1).unwrap());
    let (chain, private, data) = (path("chain.pem"), path("key.pem"), path("data"));
    let tls = ["--tls-certificate", &chain, "--tls-key", &private];
    let place = ["--listen", &listen, "--public-url", &url, "--data", &data];
    Server::start(&[["--dev"].as_slice(), &tls, &place].concat())
}

/// What the server answers to somebody who trusts this certificate alone; none when it is another.
fn get(server: &Server, trusted: &Key, path: &str) -> Option<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, TcpStream::connect(&server.listen).unwrap());
    let host = server.url.strip_prefix("https://").unwrap();
    stream.write_all(request("GET", path, host).as_bytes()).ok()?;
    let mut answer = Vec::new();
    // The server closes the connection; whether it says so first is its own affair.
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8(answer).unwrap())
}

#[test]
fn the_server_speaks_tls_itself() {
    let directory = tempfile::tempdir().unwrap();
    let key = key();
    install(directory.path(), &key);
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (chain, private) = (path("chain.pem"), path("key.pem"));
    let args = ["--dev", "--tls-certificate", &chain, "--tls-key", &private];
    let server = Server::in_directory(directory.path(), &args);
    assert!(server.url.starts_with("https://127.0.0.1:"), "without a public URL it is https all the same");
    drop(server);
    let server = serve(directory.path());
    let answer = get(&server, &key, "/login").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("strict-transport-security"), "{answer}");
    assert!(answer.contains("Development users"), "{answer}");

    // Plain http on the port is no request, and somebody who says nothing does not keep the server from ending.
    let mut plain = TcpStream::connect(&server.listen).unwrap();
    plain.write_all(request("GET", "/login", "localhost").as_bytes()).unwrap();
    let mut nothing = Vec::new();
    let _ = plain.read_to_end(&mut nothing);
    assert!(!nothing.starts_with(b"HTTP"), "{nothing:?}");
    let silent = TcpStream::connect(&server.listen).unwrap();
    server.terminate();
    assert!(server.wait().success());
    drop(silent);
}

#[track_caller]
fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it does not come about: {what}");
        pause(Duration::from_millis(100));
    }
}

#[test]
fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key(), key());
    install(directory.path(), &old);
    let server = serve(directory.path());
    let ready = |trusted: &Key| get(&server, trusted, "/readyz").filter(|it| it.starts_with("HTTP/1.1 200"));
    assert!(ready(&old).unwrap().ends_with("\r\n\r\nready\n"));
    assert_eq!(get(&server, &new, "/readyz"), None);

    install(directory.path(), &new);
    soon("the new certificate is served", || ready(&new));
    assert_eq!(get(&server, &old, "/readyz"), None, "nobody gets the old one any more");

    // The certificate of one key beside another key, then no certificate at all: the last good pair stays.
    for broken in [old.cert.pem(), "no certificate".to_owned()] {
        replace(directory.path(), "chain.pem", &broken);
        let told = soon("the probe tells", || ready(&new).filter(|it| it.contains("cannot be used")));
        assert!(told.contains("ready\n") && told.contains("the one before is served"), "{told}");
        assert!(!told.contains("chain.pem"), "strangers learn no path: {told}");
        let metrics = get(&server, &new, "/metrics").unwrap();
        assert!(metrics.contains("mainstay_tls_reloads_total{outcome=\"failed\"}"), "{metrics}");
        install(directory.path(), &new);
        soon("the probe is content again", || ready(&new).filter(|it| it.ends_with("\r\n\r\nready\n")));
    }
    let metrics = get(&server, &new, "/metrics").unwrap();
    assert!(metrics.contains("mainstay_tls_reloads_total{outcome=\"loaded\"}"), "{metrics}");
    assert!(metrics.contains("mainstay_tls_certificate_expires_seconds "), "{metrics}");
}
