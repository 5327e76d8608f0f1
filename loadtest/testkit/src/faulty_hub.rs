//! Injects faults into an API server: a proxy with the API server's own certificate that delays, refuses or swallows
//! the requests its rules match and forwards all others.
//!
//! ```text
//! client ─ TLS, HTTP/2 or HTTP/1.1 ─> FaultyHub (rules) ─ TLS, HTTP/2 ─> API server
//! ```

mod rule;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
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

pub use rule::{Action, Rule};

use crate::ControlPlane;

type Error = Box<dyn std::error::Error + Send + Sync>;

type Body = BoxBody<Bytes, hyper::Error>;

/// Frames of a lagging response that are held back at a time.
const MAX_LAGGING_FRAMES: usize = 10_000;

/// Dropping it ends all connections.
pub struct FaultyHub {
    address: SocketAddr,
    faults: Arc<Faults>,
    _tasks: JoinSet<()>,
}

/// The rules and the number of requests they matched.
struct Faults {
    rules: watch::Sender<Vec<Rule>>,
    cuts: watch::Sender<()>,
    matched: AtomicU64,
}

#[derive(Clone)]
struct Server {
    hub: SocketAddr,
    accepts: TlsAcceptor,
    connects: TlsConnector,
    faults: Arc<Faults>,
}

impl FaultyHub {
    /// Starts a proxy for `hub` without rules.
    ///
    /// # Errors
    /// Fails if no port is free or a certificate can't be issued.
    pub async fn start(hub: &ControlPlane) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let faults = Arc::new(Faults {
            rules: watch::Sender::new(Vec::new()),
            cuts: watch::Sender::new(()),
            matched: AtomicU64::new(0),
        });
        let server = Server {
            hub: hub.url().trim_start_matches("https://").parse()?,
            accepts: accepts(hub)?,
            connects: connects(hub)?,
            faults: faults.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        let server = server.clone();
                        // A client that disconnects is not an error.
                        connections.spawn(async move { drop(server.serve(client).await) });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, faults, _tasks: tasks })
    }

    /// The URL for clients, who trust the hub's CA as usual.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Replaces the rules, from the next request on; the first match applies. Hanging requests are answered when the
    /// rules change.
    pub fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        self.faults.rules.send_replace(rules.into_iter().collect());
    }

    /// Closes all connections, and with them the watches that began before a rule was set.
    pub fn cut(&self) {
        self.faults.cuts.send_replace(());
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.set([]);
    }

    /// Delays the response to each request, from the next one on.
    pub fn delay(&self, delay: Duration) {
        self.set([Rule::new(Action::Delay(delay))]);
    }

    /// Number of requests that a rule matched so far.
    pub fn matched(&self) -> u64 {
        self.faults.matched.load(Relaxed)
    }
}

impl Faults {
    /// The action for a request; `None` if it is forwarded.
    fn of(&self, request: &Request<Incoming>) -> Option<Action> {
        let rules = self.rules.borrow();
        let rule = rules.iter().find(|rule| rule.matches(request.method(), request.uri().path()))?;
        self.matched.fetch_add(1, Relaxed);
        Some(rule.action())
    }

    async fn answer(
        self: Arc<Self>,
        hub: SendRequest<Incoming>,
        request: Request<Incoming>,
        authority: Authority,
    ) -> Result<Response<Body>, Error> {
        let due = Instant::now();
        match self.of(&request) {
            None => forward(hub, request, authority).await,
            Some(Action::Delay(delay)) => {
                let response = forward(hub, request, authority).await?;
                sleep_until(due + delay).await;
                Ok(response)
            }
            Some(Action::Lag(lag)) => Ok(forward(hub, request, authority).await?.map(|body| lagging(body, lag))),
            Some(Action::Fail(code)) => failure(code),
            Some(Action::Hang) => {
                self.rules.subscribe().changed().await?;
                failure(StatusCode::GATEWAY_TIMEOUT)
            }
        }
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
        let service = service_fn(|request| self.faults.clone().answer(sender.clone(), request, authority.clone()));
        let client = TokioIo::new(client);
        let serving = async {
            match is_http2 {
                true => http2::Builder::new(TokioExecutor::new()).serve_connection(client, service).await,
                false => http1::Builder::new().serve_connection(client, service).await,
            }
        };
        let mut cuts = self.faults.cuts.subscribe();
        tokio::select! { served = serving => served?, driven = driver => driven?, _ = cuts.changed() => {} }
        Ok(())
    }
}

/// Forwards a request. HTTP/2 needs the full URI and no connection headers.
async fn forward(
    mut hub: SendRequest<Incoming>,
    mut request: Request<Incoming>,
    authority: Authority,
) -> Result<Response<Body>, Error> {
    let mut uri = request.uri().clone().into_parts();
    (uri.scheme, uri.authority) = (Some(Scheme::HTTPS), Some(authority));
    *request.uri_mut() = Uri::from_parts(uri)?;
    request.headers_mut().remove(HOST);
    request.headers_mut().remove(CONNECTION);
    *request.version_mut() = http::Version::HTTP_2;
    hub.ready().await?;
    let mut response = hub.send_request(request).await?;
    *response.version_mut() = http::Version::HTTP_11;
    Ok(response.map(BodyExt::boxed))
}

/// Delays each frame of the body by `lag`.
fn lagging(body: Body, lag: Duration) -> Body {
    let frames = BodyStream::new(body).map(move |frame| async move {
        sleep_until(Instant::now() + lag).await;
        frame
    });
    BodyExt::boxed(StreamBody::new(frames.buffered(MAX_LAGGING_FRAMES)))
}

/// An error response in the API server's form; 429 carries `Retry-After: 1`.
fn failure(code: StatusCode) -> Result<Response<Body>, Error> {
    let status = serde_json::json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "injected by the test", "reason": "Test", "code": code.as_u16() });
    let mut response = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    if code == StatusCode::TOO_MANY_REQUESTS {
        response = response.header(RETRY_AFTER, "1");
    }
    Ok(response.body(Full::from(status.to_string()).map_err(|never| match never {}).boxed())?)
}

fn accepts(hub: &ControlPlane) -> Result<TlsAcceptor, Error> {
    let identity = hub.pki().server("faulty-hub")?;
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
