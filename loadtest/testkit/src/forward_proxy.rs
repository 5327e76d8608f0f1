//! A forward proxy as companies put in front of clusters: HTTP CONNECT, in plain text or TLS, and SOCKS 5.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Longest head of a CONNECT request.
const MAX_HEAD: usize = 8 * 1024;

/// Protocol between a client and the proxy.
#[derive(Clone)]
pub enum ProxyProtocol {
    /// HTTP CONNECT.
    Http,
    /// HTTP CONNECT in TLS.
    Https(Arc<ServerConfig>),
    /// SOCKS 5 (RFC 1928), with user and password by RFC 1929.
    Socks5,
}

/// Treatment of requests for a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnels {
    /// Opens them.
    Open,
    /// Refuses them.
    Refused,
    /// Never answers.
    Hang,
}

/// Dropping it ends all tunnels.
pub struct ForwardProxy {
    address: SocketAddr,
    opened: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    protocol: ProxyProtocol,
    /// User and password that clients must give.
    user: Option<(String, String)>,
    tunnels: Tunnels,
    opened: Arc<AtomicUsize>,
}

impl ForwardProxy {
    /// Listens on loopback.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn start(protocol: ProxyProtocol, user: Option<(&str, &str)>, tunnels: Tunnels) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let opened = Arc::<AtomicUsize>::default();
        let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
        let shared = Shared { protocol, user, tunnels, opened: opened.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                clients.spawn(async move { drop(serve(stream, &shared).await) });
            }
        });
        Ok(Self { address, opened, _tasks: tasks })
    }

    /// The address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tunnels opened until now.
    pub fn opened(&self) -> usize {
        self.opened.load(Relaxed)
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match &shared.protocol {
        ProxyProtocol::Http => connect(stream, shared).await,
        ProxyProtocol::Https(config) => connect(TlsAcceptor::from(config.clone()).accept(stream).await?, shared).await,
        ProxyProtocol::Socks5 => socks5(stream, shared).await,
    }
}

async fn connect(mut client: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let is_known = shared.user.as_ref().is_none_or(|(name, password)| {
        let wanted = format!("basic {}", STANDARD.encode(format!("{name}:{password}")));
        let header = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned()));
        header.is_some_and(|header| header.len() == wanted.len() && header[6..] == wanted[6..])
    });
    match (shared.tunnels, target) {
        (Tunnels::Hang, _) => std::future::pending().await,
        _ if !is_known => client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await,
        (Tunnels::Open, Some(target)) => match TcpStream::connect(&target).await {
            Ok(server) => {
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                relay(client, server, shared).await
            }
            Err(_) => client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await,
        },
        (Tunnels::Refused, _) | (_, None) => client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await,
    }
}

async fn socks5(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let version = client.read_u8().await?;
    let methods = read_counted(&mut client).await?;
    let wanted = if shared.user.is_some() { 2 } else { 0 };
    if version != 5 || !methods.contains(&wanted) {
        return client.write_all(&[5, 0xFF]).await;
    }
    client.write_all(&[5, wanted]).await?;
    if let Some((name, password)) = &shared.user {
        let _version = client.read_u8().await?;
        let given = (read_counted(&mut client).await?, read_counted(&mut client).await?);
        let is_known = given == (name.clone().into_bytes(), password.clone().into_bytes());
        client.write_all(&[1, u8::from(!is_known)]).await?;
        if !is_known {
            return Ok(());
        }
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => {
            let mut address = [0; 4];
            client.read_exact(&mut address).await?;
            std::net::Ipv4Addr::from(address).to_string()
        }
        3 => String::from_utf8_lossy(&read_counted(&mut client).await?).into_owned(),
        _ => return client.write_all(&[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]).await,
    };
    let port = client.read_u16().await?;
    match shared.tunnels {
        Tunnels::Hang => std::future::pending().await,
        Tunnels::Refused => client.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        Tunnels::Open => match TcpStream::connect((host, port)).await {
            Ok(server) => {
                client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
                relay(client, server, shared).await
            }
            Err(_) => client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        },
    }
}

/// Reads a length of one byte, and as many bytes.
async fn read_counted(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn relay(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut server: TcpStream,
    shared: &Shared,
) -> io::Result<()> {
    server.set_nodelay(true)?;
    shared.opened.fetch_add(1, Relaxed);
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}
