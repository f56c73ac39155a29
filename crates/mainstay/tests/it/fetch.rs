//! `--metadata URL`: what is fetched, and what is refused before anybody is asked.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use mainstay_server::limits;

use crate::cli::metadata;
use crate::support::server::{json, mainstay};

/// Answers every connection with the same bytes, until the test ends.
fn answering(
    answer: Vec<u8>,
    wrap: impl Fn(std::net::TcpStream) -> Box<dyn Stream> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = wrap(stream);
            let mut head = [0; 4096];
            // A client that gives up in between is one of the cases.
            let _ =
                stream.read(&mut head).and_then(|_| stream.write_all(&answer)).and_then(|()| stream.flush());
        }
    });
    address
}

trait Stream: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Stream for T {}

fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn plain(answer: Vec<u8>) -> String {
    format!("http://{}/metadata", answering(answer, |stream| Box::new(stream)))
}

fn add(directory: &Path, url: &str, flags: &[&str], environment: &[(&str, &Path)]) -> Output {
    let data = directory.join("data");
    json(&["migrate", "up", "--data", data.to_str().unwrap()]);
    let mut command = mainstay();
    command
        .args(["sso", "connection", "add", "--data", data.to_str().unwrap(), "--metadata", url])
        .args(flags);
    environment.iter().for_each(|(name, value)| {
        command.env(name, value);
    });
    command.output().unwrap()
}

fn check(url: &str, flags: &[&str], code: i32, in_error: &str) {
    let directory = tempfile::tempdir().unwrap();
    let output = add(directory.path(), url, flags, &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{url}: {text}");
    assert!(text.contains(in_error), "{url}: {text:?} should contain {in_error:?}");
}

#[test]
fn inner_addresses_and_plain_http_are_refused_unasked() {
    check("http://127.0.0.1:9/", &[], 1, "--allow-private");
    check("https://localhost:9/", &["--allow-http"], 1, "--allow-private");
    check("https://169.254.169.254/latest/", &[], 1, "--allow-private");
    check("https://[::ffff:10.0.0.1]/", &[], 1, "--allow-private");
    check("http://192.0.2.1/", &["--allow-private"], 1, "--allow-http");
    check("https://me:secret@example.com/", &[], 1, "not an absolute https URL");
    check("https://no-such-name.invalid/", &[], 3, "does not resolve");
}

#[test]
fn what_a_server_may_answer_is_limited() {
    let redirect =
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".to_vec();
    check(&plain(redirect), &["--allow-private"], 3, "redirects are not followed");
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    check(&plain(missing), &["--allow-private"], 3, "404");
    check(&plain(b"SSH-2.0-OpenSSH\r\n".to_vec()), &["--allow-private"], 3, "not HTTP");
    check(&plain(ok(&vec![b'x'; limits::METADATA_BYTES + 1])), &["--allow-private"], 1, "larger than");
    check(&plain(ok(b"<html/>")), &["--allow-private"], 1, "metadata");
}

#[test]
fn tls_is_verified_against_the_systems_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let document = std::fs::read(metadata(directory.path())).unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let trusted = directory.path().join("trusted.pem");
    std::fs::write(&trusted, key.cert.pem()).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let config = Arc::new(config);
    let address = answering(ok(&document), move |stream| {
        let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        Box::new(rustls::StreamOwned::new(session, stream))
    });
    let url = format!("https://localhost:{}/metadata", address.port());

    let stranger = add(directory.path(), &url, &["--allow-private"], &[]);
    assert_eq!(stranger.status.code(), Some(3), "{stranger:?}");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("TLS failed"), "{stranger:?}");
    let known = add(directory.path(), &url, &["--allow-private"], &[("SSL_CERT_FILE", &trusted)]);
    assert!(known.status.success(), "{known:?}");
    assert!(String::from_utf8_lossy(&known.stdout).contains("https://idp.test/entity"), "{known:?}");
}
