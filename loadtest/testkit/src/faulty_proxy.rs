//! Simulates a faulty network: a TCP proxy that drops or delays the bytes of clients, or drops the server's bytes on
//! open connections. It does not inspect the bytes, TLS included.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Treatment of the bytes that clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Forwarded at once.
    Passes,
    /// Held until `Passes`, also for clients that have disconnected meanwhile.
    Waits,
    /// Dropped silently; connections stay open.
    IsLost,
}

/// Dropping it ends all connections.
pub struct FaultyProxy {
    address: SocketAddr,
    upstream: watch::Sender<Upstream>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    /// Connections with a lower number receive nothing more from the server.
    silenced: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// State shared between the connections and the proxy.
#[derive(Clone)]
struct Shared {
    server: SocketAddr,
    upstream: watch::Receiver<Upstream>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    silenced: Arc<AtomicUsize>,
}

impl FaultyProxy {
    /// Listens on `address` (port 0: any) and forwards to `server`.
    ///
    /// # Errors
    /// Fails if the address is in use.
    pub async fn start(address: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (upstream, receiver) = watch::channel(Upstream::Passes);
        let [open, accepted, silenced] = std::array::from_fn(|_| Arc::new(AtomicUsize::new(0)));
        let shared = Shared {
            server,
            upstream: receiver,
            open: open.clone(),
            accepted: accepted.clone(),
            silenced: silenced.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared));
        Ok(Self { address, upstream, open, accepted, silenced, _tasks: tasks })
    }

    /// The address that clients connect to, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Applies to all connections, present and future.
    pub fn set(&self, upstream: Upstream) {
        self.upstream.send_replace(upstream);
    }

    /// Drops the server's bytes on connections that are open now; later connections are unaffected. A load balancer
    /// that has forgotten its connections does the same.
    pub fn silence_open_connections(&self) {
        self.silenced.store(self.accepted.load(Relaxed), Relaxed);
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Number of connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                let number = shared.accepted.fetch_add(1, Relaxed);
                shared.open.fetch_add(1, Relaxed);
                connections.spawn(serve(client, number, shared.clone()));
            }
            Some(_) = connections.join_next() => drop(shared.open.fetch_sub(1, Relaxed)),
        }
    }
}

async fn serve(client: TcpStream, number: usize, shared: Shared) {
    let Ok(server) = TcpStream::connect(shared.server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let down = answer(from_server, to_client, number, shared.silenced);
    // Bytes already sent are still forwarded after their sender has disconnected.
    let _ = tokio::join!(down, carry(from_client, to_server, shared.upstream));
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: usize,
    silenced: Arc<AtomicUsize>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        match count {
            0 => return to.shutdown().await,
            _ if number < silenced.load(Relaxed) => {}
            _ => to.write_all(&bytes[..count]).await?,
        }
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut upstream: watch::Receiver<Upstream>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        let goes_on = upstream.wait_for(|upstream| *upstream != Upstream::Waits).await;
        let is_lost = goes_on.is_ok_and(|upstream| *upstream == Upstream::IsLost);
        match count {
            0 => return to.shutdown().await,
            _ if is_lost => {}
            _ => to.write_all(&bytes[..count]).await?,
        }
    }
}
