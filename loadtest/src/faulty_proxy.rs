//! A faulty network, for faults that a real one can't be asked for: a proxy for bytes, which loses or delays what
//! clients send, or loses what the server sends on connections that are open. It knows nothing of what is inside, TLS
//! included.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of the bytes that clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    Passes,
    /// Kept until it passes again, also of clients that have ended meanwhile.
    Waits,
    /// Gone, and nobody is told: connections stay as they are.
    IsLost,
}

/// Ends with its connections when it is dropped.
pub struct FaultyProxy {
    address: SocketAddr,
    upstream: watch::Sender<Upstream>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    /// Connections with a lower number hear nothing more of the server.
    silenced: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// State that one connection shares with the proxy.
#[derive(Clone)]
struct Shared {
    server: SocketAddr,
    upstream: watch::Receiver<Upstream>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    silenced: Arc<AtomicUsize>,
}

impl FaultyProxy {
    /// Listens on `address` (port 0: any) and passes on to `server`.
    pub async fn start(address: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (upstream, seen) = watch::channel(Upstream::Passes);
        let [open, accepted, silenced] = std::array::from_fn(|_| Arc::new(AtomicUsize::new(0)));
        let shared = Shared {
            server,
            upstream: seen,
            open: open.clone(),
            accepted: accepted.clone(),
            silenced: silenced.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared));
        Ok(Self { address, upstream, open, accepted, silenced, _tasks: tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For all connections, those of the future too.
    pub fn set(&self, upstream: Upstream) {
        self.upstream.send_replace(upstream);
    }

    /// From now on the server's bytes are lost on connections that are open; later ones are sound. So does a load
    /// balancer that has forgotten them.
    pub fn silence_open_connections(&self) {
        self.silenced.store(self.accepted.load(Relaxed), Relaxed);
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Connections so far.
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
    // Bytes that were sent go on although their sender has ended.
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
