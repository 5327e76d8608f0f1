//! A fake API server, for faults that a real one can't produce on demand.
//!
//! It serves as much of the Kubernetes API as a round needs: every LIST has one object called `web`, every GET by name
//! succeeds. Other tests use the answers of real API servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod body;
mod certificates;

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HOST, LOCATION, RETRY_AFTER};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use body::FLOOD_BYTES;
use body::FaultyBody;
pub use certificates::Certificate;

/// The credential in the kubeconfig; must not appear in any message.
pub const PLANTED_TOKEN: &str = "planted-token-e2b7";
/// Text in bad answers; must not appear in any message either.
pub const PLANTED_ANSWER: &str = "planted-answer-51aa";

/// Fault of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The port is bound, without a listener.
    Refuse,
    /// Accepts TCP, and never continues the TLS handshake.
    HangInTls,
    /// Accepts the request, and never answers.
    NeverAnswer,
    /// This status, with a Kubernetes Status object that contains [`PLANTED_ANSWER`].
    Status(u16),
    /// This status, with a plain text that contains [`PLANTED_ANSWER`], as from a gateway without a route.
    FrontDoor(u16),
    /// The plain 404 of Go's HTTP server for lists of EndpointSlices, as from API servers before 1.21.
    NoSlices,
    /// 403 for this plural only.
    ForbidOnly(&'static str),
    /// 429 with this `Retry-After`.
    Throttle(&'static str),
    /// A body of [`FLOOD_BYTES`].
    Flood {
        content_length: bool,
    },
    /// 403 with a body of [`FLOOD_BYTES`].
    RefuseWithFlood,
    /// 200 with invalid JSON that contains [`PLANTED_ANSWER`].
    InvalidJson,
    /// Each answer takes this many milliseconds.
    Slow(u64),
    /// Headers, then a byte every 20 ms, for ever.
    Drip,
    /// GOAWAY (or `Connection: close`) after this many requests on a connection.
    CloseAfter(usize),
    /// Part of the body, then a stream reset.
    ResetMidBody,
    /// Every list has this many pages of one object; the first request of the last page gets 410.
    Pages(usize),
    /// Every page has a continue token.
    EndlessPages,
    /// Lists end in this many spaces.
    Large(usize),
    /// Watches never get response headers.
    HoldWatches,
    /// This status for watches.
    RefuseWatches(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// Counts of connections, requests and bytes.
#[derive(Default)]
struct Counters {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// `Host` or `:authority` of the last request.
    asked_host: Mutex<Option<String>>,
    /// Bytes of bodies handed to the network.
    bytes: Arc<AtomicUsize>,
    gone: AtomicUsize,
}

/// The server; stops when dropped.
pub struct FaultyApiServer {
    address: SocketAddr,
    ca: String,
    /// For a proxy that shows the same certificate.
    tls: Arc<ServerConfig>,
    shared: Arc<Shared>,
    /// Keeps the port of [`Fault::Refuse`] from being taken by another test.
    _bound: Option<TcpSocket>,
    _accepting: JoinSet<()>,
}

struct Shared {
    fault: Mutex<Fault>,
    http: Http,
    counters: Counters,
    connections: Mutex<JoinSet<()>>,
    acceptor: TlsAcceptor,
}

impl FaultyApiServer {
    pub async fn start(fault: Fault) -> Self {
        Self::with(fault, Http::Two, Certificate::Good).await
    }

    pub async fn with(fault: Fault, http: Http, certificate: Certificate) -> Self {
        let (ca, mut tls) = certificates::server(certificate);
        let proxy_tls = Arc::new(tls.clone());
        tls.alpn_protocols = vec![match http {
            Http::One => b"http/1.1".to_vec(),
            Http::Two => b"h2".to_vec(),
        }];
        let shared = Arc::new(Shared {
            fault: Mutex::new(fault),
            http,
            counters: Counters::default(),
            connections: Mutex::default(),
            acceptor: TlsAcceptor::from(Arc::new(tls)),
        });
        let mut accepting = JoinSet::new();
        let any = "127.0.0.1:0".parse().unwrap();
        let (address, bound) = if fault == Fault::Refuse {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(any).unwrap();
            (socket.local_addr().unwrap(), Some(socket))
        } else {
            let listener = TcpListener::bind(any).await.unwrap();
            let address = listener.local_addr().unwrap();
            accepting.spawn(accept(listener, shared.clone()));
            (address, None)
        };
        Self { address, ca, tls: proxy_tls, shared, _bound: bound, _accepting: accepting }
    }

    /// TLS of a proxy with the server's own certificate.
    pub fn proxy_tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }

    /// A kubeconfig with the CA and [`PLANTED_TOKEN`].
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_with(PLANTED_TOKEN)
    }

    pub fn kubeconfig_with(&self, token: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: fake\ncontexts:\n- name: fake\n  context: {{cluster: fake, user: fake}}\n\
             clusters:\n- name: fake\n  cluster:\n    server: https://{}\n    certificate-authority-data: {}\n\
             users:\n- name: fake\n  user:\n    token: {token}\n",
            self.address,
            STANDARD.encode(&self.ca)
        )
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the fault from the next request on.
    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// Drops all connections without closing them gracefully.
    pub fn cut(&self) {
        self.shared.connections.lock().unwrap().abort_all();
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.counters.connections.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        let mut connections = self.shared.connections.lock().unwrap();
        while connections.try_join_next().is_some() {}
        connections.len()
    }

    pub fn requests(&self) -> usize {
        self.shared.counters.requests.load(Ordering::Relaxed)
    }

    pub fn asked_host(&self) -> Option<String> {
        self.shared.counters.asked_host.lock().unwrap().clone()
    }

    pub fn bytes_sent(&self) -> usize {
        self.shared.counters.bytes.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.counters.connections.fetch_add(1, Ordering::Relaxed);
        let connection = serve(stream, shared.clone());
        shared.connections.lock().unwrap().spawn(connection);
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    if shared.fault() == Fault::HangInTls {
        pending::<()>().await;
    }
    let Ok(stream) = shared.acceptor.accept(stream).await else { return };
    let io = TokioIo::new(stream);
    let close = Arc::new(Notify::new());
    let served = Arc::new(AtomicUsize::new(0));
    let (for_service, notify) = (shared.clone(), close.clone());
    let service = service_fn(move |request| {
        let (shared, close) = (for_service.clone(), notify.clone());
        let nth = served.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            if matches!(shared.fault(), Fault::CloseAfter(most) if nth >= most) {
                close.notify_one();
            }
            Ok::<_, Infallible>(shared.answer(request).await)
        }
    });
    // Keeps polling the connection after a graceful shutdown, which completes the answers under way.
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = close.notified() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }};
    }
    match shared.http {
        Http::One => drive!(http1::Builder::new().serve_connection(io, service)),
        Http::Two => drive!(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service)),
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<FaultyBody> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let authority = request.uri().authority().map(|authority| authority.to_string());
        let header = request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned());
        *self.counters.asked_host.lock().unwrap() = authority.or(header);
        let path = request.uri().path();
        let plural = path.rsplit('/').next().unwrap_or_default();
        let counted = self.counters.bytes.clone();
        if let Fault::Slow(milliseconds) = self.fault() {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
        match self.fault() {
            Fault::NeverAnswer => pending().await,
            Fault::Status(code) => {
                let mut response = status(code, refusal());
                response.headers_mut().insert(LOCATION, "https://127.0.0.1:1/".parse().unwrap());
                response
            }
            Fault::FrontDoor(code) => status(code, FaultyBody::text(format!("default backend {PLANTED_ANSWER}"))),
            Fault::NoSlices if plural == "endpointslices" => {
                status(404, FaultyBody::text("404 page not found\n".to_owned()))
            }
            Fault::ForbidOnly(refused) if plural == refused => status(403, refusal()),
            Fault::Throttle(wait) => {
                let mut response = status(429, refusal());
                response.headers_mut().insert(RETRY_AFTER, wait.parse().unwrap());
                response
            }
            Fault::Flood { content_length } => {
                let mut response = Response::new(FaultyBody::flood(counted));
                if content_length {
                    response.headers_mut().insert(CONTENT_LENGTH, FLOOD_BYTES.into());
                }
                response
            }
            Fault::RefuseWithFlood => status(403, FaultyBody::flood(counted)),
            Fault::InvalidJson => {
                text(format!(r#"{{"kind":"DeploymentList","items":[{{"metadata":"{PLANTED_ANSWER}""#))
            }
            Fault::Drip => Response::new(FaultyBody::drip(counted)),
            Fault::ResetMidBody => Response::new(FaultyBody::reset(counted)),
            Fault::Pages(pages) => self.page(plural, request.uri().query().unwrap_or_default(), pages),
            Fault::EndlessPages if is_list(path) => text(list(plural, "web", Some("more"))),
            Fault::HoldWatches if is_watch(&request) => pending().await,
            Fault::RefuseWatches(code) if is_watch(&request) => status(code, refusal()),
            Fault::Large(bytes) if is_list(path) => text(list(plural, "web", None) + &" ".repeat(bytes)),
            _ if is_list(path) => text(list(plural, "web", None)),
            _ if path == "/version" => text(r#"{"major":"1","minor":"36","gitVersion":"v1.36.3"}"#.to_owned()),
            _ => text(format!(r#"{{"kind":"PartialObjectMetadata","metadata":{{"name":"{plural}"}}}}"#)),
        }
    }

    fn page(&self, plural: &str, query: &str, pages: usize) -> Response<FaultyBody> {
        let token = query.split("continue=").nth(1).and_then(|token| token.parse().ok()).unwrap_or(1);
        if token == pages && self.counters.gone.fetch_add(1, Ordering::Relaxed) == 0 {
            return status(410, refusal());
        }
        let next = (token < pages).then(|| (token + 1).to_string());
        text(list(plural, &format!("web-{token}"), next.as_deref()))
    }
}

fn is_watch(request: &Request<Incoming>) -> bool {
    request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

/// Paths of lists end in a plural; only namespaces and CRDs are requested by name.
fn is_list(path: &str) -> bool {
    path.split('/').count() > 5 && !path.contains("customresourcedefinitions")
}

fn list(plural: &str, name: &str, next: Option<&str>) -> String {
    let kind = match plural {
        "deployments" => "DeploymentList",
        "statefulsets" => "StatefulSetList",
        "daemonsets" => "DaemonSetList",
        "services" => "ServiceList",
        "endpointslices" => "EndpointSliceList",
        _ => "EndpointsList",
    };
    let next = next.unwrap_or_default();
    format!(
        r#"{{"kind":"{kind}","metadata":{{"continue":"{next}","resourceVersion":"7"}},"items":[{{"metadata":{{"name":"{name}"}},"status":{{"availableReplicas":1}}}}]}}"#
    )
}

fn text(text: String) -> Response<FaultyBody> {
    Response::new(FaultyBody::text(text))
}

fn status(code: u16, body: FaultyBody) -> Response<FaultyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = code.try_into().unwrap();
    response
}

fn refusal() -> FaultyBody {
    FaultyBody::text(format!(r#"{{"kind":"Status","apiVersion":"v1","message":"{PLANTED_ANSWER}"}}"#))
}
