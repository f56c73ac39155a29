//! A registry that gives out what lies in a layout, whatever that is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mainstay_images::oci::document::Descriptor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::tools::{blob, read_json};

/// The registry. Every tag stands for the first image of the layout's list; names of repositories mean nothing.
pub struct Shelf {
    pub address: SocketAddr,
    /// What it says to be the digest of a document that it sends, if it says anything.
    pub says: Arc<Mutex<Option<String>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shelf {
    pub async fn start(layout: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&says);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (layout, says) = (layout.clone(), Arc::clone(&shared));
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&layout, request.uri().path(), says.lock().unwrap().as_deref());
                    std::future::ready(Ok::<_, Infallible>(answer))
                });
                let serving = hyper::server::conn::http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, says, accepting }
    }
}

fn answer(layout: &Path, path: &str, says: Option<&str>) -> Response<Full<Bytes>> {
    let index: serde_json::Value = read_json(&layout.join("index.json"));
    let listed: Vec<Descriptor> = serde_json::from_value(index["manifests"].clone()).unwrap();
    let last = path.rsplit('/').next().unwrap();
    let (file, content_type) = match last.strip_prefix("sha256:") {
        Some(digest) => {
            let known = listed.iter().find(|entry| entry.digest.0.to_string() == digest);
            (layout.join("blobs/sha256").join(digest), known.map(|entry| entry.media_type.clone()))
        }
        None => (blob(layout, &listed[0]), Some(listed[0].media_type.clone())),
    };
    let Ok(octets) = std::fs::read(file) else {
        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Full::new(Bytes::from(octets)));
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
    }
    if let Some(says) = says.filter(|_| path.contains("/manifests/")) {
        response.headers_mut().insert("docker-content-digest", says.parse().unwrap());
    }
    response
}
