//! Asking the server to end what a connection is running.
//!
//! The client library closes the connection of such a request at once. PostgreSQL does not mind; PgBouncer takes it that
//! the request was given up, does not pass it on, and before version 1.20 may even crash. So behind a pooler the request's
//! connection is made here and kept until the pooler closes it, as libpq does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a request to cancel may take; it needs a connection of its own.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);
/// Longer than PgBouncer lets a request wait for a server connection, so that it is the one who closes.
const POOLER_LIMIT: Duration = Duration::from_secs(15);

/// Asks the server to end what a connection is running.
#[derive(Clone)]
pub(super) struct Canceller {
    token: CancelToken,
    way: Way,
}

/// How a request reaches the server.
#[derive(Clone)]
pub(super) enum Way {
    /// As the client library sends it.
    Direct(MakeRustlsConnect),
    /// To a pooler, which must be the one who closes the connection.
    Pooler(String, u16),
    /// Not at all: the statement ends when its connection is thrown away.
    Nowhere,
}

impl Way {
    /// The way to the pooler of a URL: one host, and no encryption that would have to be ended first.
    pub(super) fn to_pooler(client: &tokio_postgres::Config) -> Self {
        let port = client.get_ports().first().copied().unwrap_or(5432);
        match client.get_hosts() {
            [Host::Tcp(name)] if client.get_ssl_mode() != SslMode::Require => {
                let host = client.get_hostaddrs().first().map_or_else(|| name.clone(), ToString::to_string);
                Self::Pooler(host, port)
            }
            _ => Self::Nowhere,
        }
    }
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canceller")
    }
}

impl Canceller {
    pub(super) const fn new(token: CancelToken, way: Way) -> Self {
        Self { token, way }
    }

    /// Sends the request on a task of its own. `keep` is dropped afterwards: a pooler ends no statement whose client is gone.
    pub(super) fn send(&self, keep: impl Send + 'static) {
        let Self { token, way } = self.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let sent = match way {
                Way::Direct(tls) => timeout(CANCEL_LIMIT, token.cancel_query(tls)).await,
                Way::Pooler(host, port) => timeout(POOLER_LIMIT, through_pooler(&token, &host, port)).await,
                Way::Nowhere => return,
            };
            drop(keep);
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a request to cancel was not sent"),
                Err(_elapsed) => tracing::debug!("a request to cancel was not sent in time"),
            }
        });
    }
}

async fn through_pooler(token: &CancelToken, host: &str, port: u16) -> Result<(), tokio_postgres::Error> {
    match TcpStream::connect((host, port)).await {
        Ok(stream) => token.cancel_query_raw(UntilClosed(stream), NoTls).await,
        Err(error) => {
            tracing::debug!(%error, "the pooler takes no request to cancel");
            Ok(())
        }
    }
}

/// A stream that is shut down by the other end: it waits for that.
struct UntilClosed(TcpStream);

impl AsyncRead for UntilClosed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for UntilClosed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut space = [0_u8; 256];
            let mut buffer = ReadBuf::new(&mut space);
            // However it closes, it closed.
            let read = ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_is_asked_in_the_clear_or_not_at_all() {
        let way = |url: &str| Way::to_pooler(&url.parse().unwrap());
        assert!(matches!(way("postgres://u@h:6432/d"), Way::Pooler(host, 6432) if host == "h"));
        assert!(
            matches!(way("postgres://u@h/d?hostaddr=127.0.0.1"), Way::Pooler(host, 5432) if host == "127.0.0.1")
        );
        assert!(matches!(way("postgres://u@a,b/d"), Way::Nowhere));
        assert!(matches!(way("postgres://u@h/d?sslmode=require"), Way::Nowhere));
    }
}
