//! The listener: accepts connections, serves them, and lets them end when the server goes down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::peer::Peer;
use crate::limits;

/// How long to wait when the system cannot give us another connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` ends, then lets running requests end, for at most `drain`.
///
/// Returns whether all of them did.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> bool {
    let graceful = GracefulShutdown::new();
    // Its receivers wake when the sender is dropped.
    let (serving, ending) = tokio::sync::watch::channel(());
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let (watcher, router) = (graceful.watcher(), router.clone());
        match tls.clone() {
            None => {
                tokio::spawn(serve_one(watcher, stream, peer, place, router));
            }
            Some(tls) => {
                let mut ending = ending.clone();
                tokio::spawn(async move {
                    let handshake = tokio::select! {
                        handshake = tokio::time::timeout(limits::HEAD_TIMEOUT, tls.accept(stream)) => handshake,
                        // Nothing was asked yet, so nothing is cut in half.
                        _ = ending.changed() => return,
                    };
                    // Whoever does not finish the handshake holds a place no longer than whoever sends no request.
                    match handshake {
                        Ok(Ok(stream)) => serve_one(watcher, stream, peer, place, router).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                        Err(_elapsed) => tracing::debug!(%peer, "a TLS handshake took too long"),
                    }
                });
            }
        }
    }
    // From here on nobody new gets in; whoever connects finds the port closed.
    drop((listener, serving));
    tokio::time::timeout(drain, graceful.shutdown()).await.is_ok()
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // An answer is small and complete; there is nothing to collect it with.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn serve_one(
    watcher: Watcher,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    router: Router,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
    drop(place);
}
