//! An API server that takes its time: a proxy with the API server's own certificate, which gives each answer so long
//! after its question.
//!
//! ```text
//! client ─ TLS, HTTP/2 or HTTP/1.1 ─> SlowHub (waits) ─ TLS, HTTP/2 ─> API server
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::ControlPlane;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Ends with its connections when it is dropped.
pub struct SlowHub {
    address: SocketAddr,
    delay: watch::Sender<Duration>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Server {
    hub: SocketAddr,
    accepts: TlsAcceptor,
    connects: TlsConnector,
    delay: watch::Receiver<Duration>,
}

impl SlowHub {
    /// Passes on to `hub`, at first without a delay.
    pub async fn start(hub: &ControlPlane) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (delay, seen) = watch::channel(Duration::ZERO);
        let server = Server {
            hub: hub.url().trim_start_matches("https://").parse()?,
            accepts: accepts(hub)?,
            connects: connects(hub)?,
            delay: seen,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        let server = server.clone();
                        // A client that goes away is no fault.
                        connections.spawn(async move { drop(server.serve(client).await) });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, delay, _tasks: tasks })
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From the next question on, an answer begins so long after it.
    pub fn delay(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }
}

impl Server {
    async fn serve(self, client: TcpStream) -> Result<(), Error> {
        client.set_nodelay(true)?;
        let client = self.accepts.accept(client).await?;
        let is_http2 = client.get_ref().1.alpn_protocol() == Some(b"h2");
        let hub = TcpStream::connect(self.hub).await?;
        hub.set_nodelay(true)?;
        let hub = self.connects.connect(ServerName::try_from("localhost")?, hub).await?;
        let (sender, driver) = handshake(TokioExecutor::new(), TokioIo::new(hub)).await?;
        let authority = Authority::try_from(self.hub.to_string())?;
        let service = service_fn(|request| answer(sender.clone(), request, authority.clone(), *self.delay.borrow()));
        let client = TokioIo::new(client);
        let serving = async {
            match is_http2 {
                true => http2::Builder::new(TokioExecutor::new()).serve_connection(client, service).await,
                false => http1::Builder::new().serve_connection(client, service).await,
            }
        };
        tokio::select! { served = serving => served?, driven = driver => driven? }
        Ok(())
    }
}

/// HTTP/2 needs the whole URI, and no headers about the connection.
async fn answer(
    mut hub: SendRequest<Incoming>,
    mut request: Request<Incoming>,
    authority: Authority,
    delay: Duration,
) -> Result<Response<Incoming>, Error> {
    let due = Instant::now() + delay;
    let mut uri = request.uri().clone().into_parts();
    (uri.scheme, uri.authority) = (Some(Scheme::HTTPS), Some(authority));
    *request.uri_mut() = Uri::from_parts(uri)?;
    request.headers_mut().remove(HOST);
    request.headers_mut().remove(CONNECTION);
    *request.version_mut() = http::Version::HTTP_2;
    hub.ready().await?;
    let mut response = hub.send_request(request).await?;
    *response.version_mut() = http::Version::HTTP_11;
    sleep_until(due).await;
    Ok(response)
}

fn accepts(hub: &ControlPlane) -> Result<TlsAcceptor, Error> {
    let identity = hub.pki().server("slow-hub")?;
    let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn connects(hub: &ControlPlane) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(hub.ca_pem().as_bytes()) {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
