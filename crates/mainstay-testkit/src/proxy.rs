//! A TCP proxy that cuts connections, lets them stall or refuses them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// No limit on what a client may still send.
const UNLIMITED: i64 = i64::MAX / 2;

/// A proxy in front of a server. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// Counts the cuts; a connection ends when the number is not the one that it began with.
    generation: watch::Sender<u64>,
    stalled: watch::Sender<bool>,
    refusing: AtomicBool,
    /// How many octets clients may still send, all together, before everything is cut.
    allowance: AtomicI64,
}

impl Proxy {
    /// Starts a proxy to a server.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            generation: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
            refusing: AtomicBool::new(false),
            allowance: AtomicI64::new(UNLIMITED),
        });
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Cuts every connection when clients have sent so many more octets; those before the limit arrive.
    pub fn cut_after(&self, octets: u32) {
        self.shared.allowance.store(i64::from(octets), Ordering::SeqCst);
    }

    /// Closes new connections at once, until it is turned off.
    pub fn refuse(&self, on: bool) {
        self.shared.refusing.store(on, Ordering::SeqCst);
    }

    /// Passes nothing on in either direction, until it is turned off.
    pub fn stall(&self, on: bool) {
        self.shared.stalled.send_replace(on);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Shared {
    fn cut(&self) {
        self.allowance.store(UNLIMITED, Ordering::SeqCst);
        self.generation.send_modify(|generation| *generation += 1);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if !shared.refusing.load(Ordering::SeqCst) {
            tokio::spawn(carry(client, server, Arc::clone(&shared)));
        }
    }
}

/// Carries one connection until an end closes it or it is cut.
async fn carry(client: TcpStream, server: SocketAddr, shared: Arc<Shared>) {
    let mut generation = shared.generation.subscribe();
    generation.mark_unchanged();
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = generation.changed() => {}
        _ = pump(&mut from_client, &mut to_server, &shared, true) => {}
        _ = pump(&mut from_server, &mut to_client, &shared, false) => {}
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
    counts: bool,
) -> io::Result<()> {
    let mut stalled = shared.stalled.subscribe();
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        // The proxy holds the sender, so waiting ends only when it stalls no more.
        drop(stalled.wait_for(|on| !on).await);
        let wanted = i64::try_from(read).unwrap_or(UNLIMITED);
        let left = if counts { shared.allowance.fetch_sub(wanted, Ordering::SeqCst) } else { UNLIMITED };
        let passed = usize::try_from(left.clamp(0, wanted)).unwrap_or(0);
        to.write_all(buffer.get(..passed).unwrap_or_default()).await?;
        if left < wanted {
            to.flush().await?;
            shared.cut();
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn answer(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await?;
        Ok(back)
    }

    #[tokio::test]
    async fn connections_pass_stall_and_are_cut() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(answer(&mut stream, b"one").await.unwrap(), b"one");

        proxy.stall(true);
        let wait = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(wait, answer(&mut stream, b"two")).await.is_err());
        proxy.stall(false);
        let mut late = [0; 3];
        stream.read_exact(&mut late).await.unwrap();
        assert_eq!(&late, b"two");

        proxy.cut_after(2);
        assert!(answer(&mut stream, b"three").await.is_err());
        proxy.refuse(true);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(answer(&mut refused, b"four").await.is_err());
        proxy.refuse(false);
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(answer(&mut again, b"five").await.unwrap(), b"five");
    }
}
