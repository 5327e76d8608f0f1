//! A faulty network, for faults that a real one can't be asked for: a proxy for bytes, which loses or delays what
//! clients send, and passes on whatever the server says. It knows nothing of what is inside, TLS included.

use std::io;
use std::net::SocketAddr;

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
    _tasks: JoinSet<()>,
}

impl FaultyProxy {
    /// Listens on `address` (port 0: any) and passes on to `server`.
    pub async fn start(address: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (upstream, seen) = watch::channel(Upstream::Passes);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, seen));
        Ok(Self { address, upstream, _tasks: tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For all connections, those of the future too.
    pub fn set(&self, upstream: Upstream) {
        self.upstream.send_replace(upstream);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, upstream: watch::Receiver<Upstream>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                let upstream = upstream.clone();
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (from_client, mut to_client) = client.into_split();
                    let (mut from_server, to_server) = server.into_split();
                    let down = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(|_| ()) };
                    // What was sent goes on although its sender has ended.
                    let _ = tokio::join!(down, carry(from_client, to_server, upstream));
                });
            }
            Some(_) = connections.join_next() => {}
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
