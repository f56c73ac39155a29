//! Registries behind a proxy: their names are known to it alone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mainstay_core::Secret;
use mainstay_images::oci::registry::{Proxies, RegistryOptions, Transport};
use mainstay_images::oci::{ErrorKind, Import, Oci, Reference};
use mainstay_testkit::TestDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::registry::{options, pull};
use super::server::{Asks, DockerRegistry};
use super::tools::Sample;
use crate::support::World;

/// `user:proxy-secret`, as a proxy is told.
const BASIC: &str = "Basic dXNlcjpwcm94eS1zZWNyZXQ=";

/// A proxy that finds every host at one address, and lets through who has its password.
struct HttpProxy {
    address: SocketAddr,
    /// The heads of what it was asked, each with its first line.
    asked: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl HttpProxy {
    async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&asked);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, target, Arc::clone(&shared)));
            }
        });
        Self { address, asked, accepting }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn url(&self, password: &str) -> Secret<String> {
        Secret::new(format!("http://user:{password}@{}", self.address))
    }
}

async fn serve(mut stream: TcpStream, target: SocketAddr, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(octet) = stream.read_u8().await else { return };
        head.push(octet);
    }
    let text = String::from_utf8(head.clone()).unwrap();
    asked.lock().unwrap().push(text.clone());
    let authorized = text.to_ascii_lowercase().contains("proxy-authorization: ") && text.contains(BASIC);
    if !authorized {
        let refused = b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        drop(stream.write_all(refused).await);
        return;
    }
    let mut onward = TcpStream::connect(target).await.unwrap();
    if text.starts_with("CONNECT ") {
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
    } else {
        // Go's server takes a whole URL; what comes later on this connection goes on as it is.
        onward.write_all(&head).await.unwrap();
    }
    drop(tokio::io::copy_bidirectional(&mut stream, &mut onward).await);
}

fn through(proxies: Proxies) -> RegistryOptions {
    let mut options = options();
    options.proxies = proxies;
    options.retry.attempts = 1;
    options
}

#[tokio::test]
async fn what_goes_by_https_goes_through_a_tunnel() {
    let sample = Sample::new();
    let made = rcgen::generate_simple_self_signed(vec!["registry.test".to_owned()]).unwrap();
    let (certificate, key) = (sample.at().join("cert.pem"), sample.at().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let registry = DockerRegistry::start_tls(&certificate, &key).await;
    let proxy = HttpProxy::start(registry.address).await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap();
    let to: Reference = "registry.test:5443/team/app:1".parse().unwrap();
    let push = async |mut options: RegistryOptions| {
        options.trusted = made.cert.pem().into_bytes();
        oci.push(&"app".parse().unwrap(), &to, None, &options).await.map(|()| options)
    };
    let url = proxy.url("proxy-secret");
    let options = push(through(Proxies::new(None, Some(url.clone()), "other.test"))).await.unwrap();
    assert_eq!(pull(&oci, &to, &options).await.unwrap(), sample.listed("app").digest.0);
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    for head in &asked {
        assert!(head.starts_with("CONNECT registry.test:5443 HTTP/1.1\r\n"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("\r\nauthorization:"), "{head}");
    }
    // Who is told to go without, or whose proxy is for http, does not find it.
    for without in [
        Proxies::new(None, Some(url.clone()), "elsewhere, .test"),
        Proxies::new(Some(url.clone()), None, ""),
        Proxies::none(),
    ] {
        let error = push(through(without)).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    }
    assert_eq!(proxy.asked(), asked);
    let error = push(through(Proxies::new(None, Some(proxy.url("wrong-secret")), ""))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Proxy, "{error}");
    let told = format!("{error} {error:?}");
    assert!(told.contains(&proxy.address.to_string()) && !told.contains("secret"), "{told}");
    let error =
        push(through(Proxies::new(None, Some(Secret::new("socks5://a".into())), ""))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn what_goes_by_http_names_its_whole_url_to_the_proxy() {
    let sample = Sample::new();
    let registry = DockerRegistry::start(Asks::Nothing).await;
    let proxy = HttpProxy::start(registry.address).await;
    let world = World::new(&TestDatabase::sqlite()).await;
    let oci = Oci::new(world.node().await);
    oci.import(&sample.layout, &Import::tagged("app").named("app")).await.unwrap();
    let to: Reference = "registry.test:5000/team/app:1".parse().unwrap();
    let plain = |password: &str| {
        let mut options = through(Proxies::new(Some(proxy.url(password)), None, ""));
        options.transport = Transport::Http;
        options
    };
    oci.push(&"app".parse().unwrap(), &to, None, &plain("proxy-secret")).await.unwrap();
    assert_eq!(pull(&oci, &to, &plain("proxy-secret")).await.unwrap(), sample.listed("app").digest.0);
    assert!(proxy.asked().iter().all(|head| head.contains(" http://registry.test:5000/v2/team/app/")));
    let error = pull(&oci, &to, &plain("wrong-secret")).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Proxy, "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}
