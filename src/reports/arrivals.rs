//! Limits connections to the report port until they belong to a worker: TCP, TLS, and an accepted call.
//!
//! ```text
//! accept ─> place ─> ClientHello within 1 s ─> handshake ─> call accepted within 5 s ─> a worker's: place freed
//!             └─ none free: evict the oldest ┘
//! ```
//!
//! Strangers may hold places and stay silent. A worker has its link within milliseconds, so it is never the oldest.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::TIMEOUT;
use crate::domain::places::Places;

/// Connections that do not belong to a worker yet.
const MAX_PLACES: usize = 256;

/// Places of one address.
const PLACES_PER_ADDRESS: usize = 32;

/// Time from accept to the ClientHello, which a worker sends at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);

const RETRY_DELAY: Duration = Duration::from_millis(100);

type Waiting = Arc<Mutex<Places<IpAddr, oneshot::Sender<Infallible>>>>;

/// Streams the connections that completed their handshake in time.
pub(super) fn arrivals(listener: TcpListener, tls: Arc<ServerConfig>) -> impl Stream<Item = io::Result<Arrival>> {
    let waiting: Waiting = Arc::new(Mutex::new(Places::new(MAX_PLACES, PLACES_PER_ADDRESS)));
    let accepted = stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok(arrived) => return Some((arrived, listener)),
                // Out of file descriptors, or the caller is gone: the next accept may succeed.
                Err(_) => sleep(RETRY_DELAY).await,
            }
        }
    });
    let handshake = move |(connection, peer): (TcpStream, std::net::SocketAddr)| {
        // Take the place when accepted, not when first polled: places are ordered by age.
        let (place, evicted) = Place::take(&waiting, peer.ip());
        shake_hands(connection, tls.clone(), place, evicted)
    };
    // Evicted connections end at once, so the buffer always has room for the next.
    accepted.map(handshake).buffer_unordered(MAX_PLACES + 1).filter_map(std::future::ready)
}

async fn shake_hands(
    connection: TcpStream,
    tls: Arc<ServerConfig>,
    place: Place,
    evicted: oneshot::Receiver<Infallible>,
) -> Option<io::Result<Arrival>> {
    let latest = Instant::now() + TIMEOUT;
    let _ = connection.set_nodelay(true);
    let handshake = async {
        let hello =
            timeout(HELLO_TIMEOUT, LazyConfigAcceptor::new(Acceptor::default(), connection)).await.ok()?.ok()?;
        timeout_at(latest, hello.into_stream(tls)).await.ok()?.ok()
    };
    let mut evicted = evicted;
    let stream = tokio::select! {
        stream = handshake => stream?,
        _ = &mut evicted => return None,
    };
    let end = async move {
        tokio::select! {
            _ = evicted => {}
            () = sleep_until(latest) => {}
        }
    };
    Some(Ok(Arrival { stream, place: Arc::new(place), end: Some(end.boxed()) }))
}

/// A place among the waiting connections, until the call is accepted or the connection ends.
pub(super) struct Place {
    waiting: Waiting,
    /// `None`: the connection belongs to a worker.
    number: Mutex<Option<u64>>,
}

impl Place {
    fn take(waiting: &Waiting, peer: IpAddr) -> (Self, oneshot::Receiver<Infallible>) {
        let (handle, evicted) = oneshot::channel();
        let number = lock(waiting).take(peer, handle);
        (Self { waiting: waiting.clone(), number: Mutex::new(Some(number)) }, evicted)
    }

    /// Frees the place once the call is accepted. The connection then has no time limit.
    pub(super) fn admit(&self) {
        if let Some(number) = lock(&self.number).take() {
            lock(&self.waiting).leave(number);
        }
    }

    fn is_admitted(&self) -> bool {
        lock(&self.number).is_none()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admit();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection after the TLS handshake.
pub(super) struct Arrival {
    stream: TlsStream<TcpStream>,
    place: Arc<Place>,
    /// Resolves when the connection must end, unless its call is accepted.
    end: Option<BoxFuture<'static, ()>>,
}

impl Connected for Arrival {
    type ConnectInfo = Arc<Place>;

    fn connect_info(&self) -> Arc<Place> {
        self.place.clone()
    }
}

impl AsyncRead for Arrival {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let is_over = self.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready());
        if is_over || self.place.is_admitted() {
            self.end = None;
        }
        if is_over && !self.place.is_admitted() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Arrival {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
