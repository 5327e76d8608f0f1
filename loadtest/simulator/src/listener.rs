//! The listener of all simulated clusters: accepts connections, runs the TLS handshake, and serves HTTP/2 or HTTP/1.1.

use std::io::{self, Cursor};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::pki::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::fault::Fault;
use super::fleet::Fleet;
use super::wire::{Link, Wire};
use super::{FIRST, SimulatorError, http1, http2};

/// Time limit of the TLS handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// Limited by the kernel to net.core.somaxconn.
const BACKLOG: u32 = 65_535;

pub(super) struct Listener {
    pub(super) listener: TcpListener,
    pub(super) tls: Arc<ServerConfig>,
    /// Configuration with a certificate from another CA.
    pub(super) wrong: Arc<ServerConfig>,
    pub(super) fleet: Arc<Fleet>,
}

/// Listens on all addresses, to be reached by any of 127.0.0.0/8; `run` drops connections from other hosts.
pub(super) fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
    socket.listen(BACKLOG)
}

pub(super) fn tls(identity: &Identity, http2: bool) -> Result<Arc<ServerConfig>, SimulatorError> {
    let certificates = CertificateDer::pem_slice_iter(identity.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

impl Listener {
    pub(super) async fn run(self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) if peer.ip().is_loopback() => self.begin(stream, &mut connections),
                    Ok(_) => {}
                    // Out of file descriptors; wait for a connection to end.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn begin(&self, stream: TcpStream, connections: &mut JoinSet<()>) {
        let Ok(SocketAddr::V4(dialled)) = stream.local_addr() else { return };
        let number = u32::from(*dialled.ip()).wrapping_sub(u32::from(FIRST));
        let link = Arc::new(Link::default());
        let Some(connection) = Connection::new(self.fleet.clone(), number, link.clone()) else { return };
        // A response over HTTP/2 is several small writes.
        let _ = stream.set_nodelay(true);
        let fault = connection.cluster().state().fault;
        let wire = Wire::new(stream, link, self.fleet.clone(), number);
        let limit = self.fleet.settings.connections;
        if fault == Some(Fault::ConnectionLimit) && connection.cluster().counters.open.load(Relaxed) > limit {
            return;
        }
        let tls = if fault == Some(Fault::WrongCertificate) { &self.wrong } else { &self.tls };
        match fault {
            Some(Fault::HangAtConnect | Fault::Blackhole) => connections.spawn(wire.swallow()),
            Some(Fault::HangInTls) => connections.spawn(half_handshake(wire, tls.clone())),
            _ => connections.spawn(serve(wire, tls.clone(), connection)),
        };
    }
}

async fn serve(wire: Wire, tls: Arc<ServerConfig>, connection: Connection) {
    let Ok(Ok(stream)) = timeout(PATIENCE, TlsAcceptor::from(tls).accept(wire)).await else { return };
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2::serve(stream, connection).await,
        _ => http1::serve(stream, connection).await,
    }
}

/// Sends half of the server's flight, then nothing more.
async fn half_handshake(mut wire: Wire, tls: Arc<ServerConfig>) {
    let Ok(mut tls) = rustls::ServerConnection::new(tls) else { return };
    let mut bytes = vec![0; 4096];
    while !tls.wants_write() {
        let Ok(length @ 1..) = wire.read(&mut bytes).await else { return };
        if tls.read_tls(&mut Cursor::new(&bytes[..length])).is_err() || tls.process_new_packets().is_err() {
            return;
        }
    }
    let mut flight = Vec::new();
    while tls.wants_write() {
        if tls.write_tls(&mut flight).is_err() {
            return;
        }
    }
    if wire.write_all(&flight[..flight.len() / 2]).await.is_ok() {
        wire.swallow().await;
    }
}
