//! Many API servers in one process, for scale that real ones can't give on one machine. They are simulated and say so:
//! each answers what ksit asks of a cluster with Flux, healthy or broken, over real TLS, and nothing else.
//!
//! One listener serves them all; the loopback address that was dialled (127.a.b.c) tells which one is meant.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::kubeconfig::{Credential, kubeconfig};
use crate::pki::Pki;

type SimulatorError = Box<dyn std::error::Error + Send + Sync>;

/// Address of cluster 0; the others follow.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

const TOKEN: &str = "simulated";

/// Of the simulated Flux.
const DEPLOYMENTS: [&str; 4] =
    ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"];

/// The simulated clusters, and what they were asked.
#[derive(Debug)]
struct Clusters {
    requests: AtomicU64,
    /// In those with a lower number Flux is broken.
    broken: AtomicU32,
    began: Instant,
    /// When each was asked last, in ms since `began`.
    asked: Vec<AtomicU64>,
}

/// Runs until it is dropped.
pub struct Simulator {
    port: u16,
    ca_pem: String,
    clusters: Arc<Clusters>,
    _tasks: JoinSet<()>,
}

impl Simulator {
    pub async fn start(count: u32) -> Result<Self, SimulatorError> {
        let pki = Pki::new("simulated")?;
        let identity = pki.server("simulated")?;
        let certificates = CertificateDer::pem_slice_iter(identity.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let mut config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Any address of 127.0.0.0/8 reaches it; from outside of this machine it refuses.
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).await?;
        let port = listener.local_addr()?.port();
        let clusters = Arc::new(Clusters {
            requests: AtomicU64::new(0),
            broken: AtomicU32::new(0),
            began: Instant::now(),
            asked: (0..count).map(|_| AtomicU64::new(0)).collect(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), clusters.clone()));
        Ok(Self { port, ca_pem: pki.ca_pem().to_owned(), clusters, _tasks: tasks })
    }

    /// Requests to all clusters so far.
    pub fn requests(&self) -> u64 {
        self.clusters.requests.load(Ordering::Relaxed)
    }

    /// From now on Flux is broken in the first `count` clusters, and healthy in the others.
    pub fn break_first(&self, count: u32) {
        self.clusters.broken.store(count, Ordering::Relaxed);
    }

    /// Since when the cluster that was left alone longest has not been asked anything.
    pub fn longest_unasked(&self) -> Duration {
        let oldest = self.clusters.asked.iter().map(|asked| asked.load(Ordering::Relaxed)).min().unwrap_or_default();
        self.clusters.began.elapsed().saturating_sub(Duration::from_millis(oldest))
    }

    /// The kubeconfig of one of them.
    pub fn kubeconfig(&self, number: u32) -> String {
        let address = Ipv4Addr::from(u32::from(FIRST) + number);
        let server = format!("https://{address}:{}", self.port);
        let text = kubeconfig("simulated", &server, &self.ca_pem, Credential::Token(TOKEN));
        text.replacen("\"server\":", "\"tls-server-name\":\"localhost\",\"server\":", 1)
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, clusters: Arc<Clusters>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((connection, peer)) = listener.accept() => {
                if peer.ip().is_loopback() {
                    connections.spawn(serve(connection, tls.clone(), clusters.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(connection: TcpStream, tls: TlsAcceptor, clusters: Arc<Clusters>) {
    let _ = connection.set_nodelay(true);
    let Ok(SocketAddr::V4(dialled)) = connection.local_addr() else { return };
    let number = u32::from(*dialled.ip()).wrapping_sub(u32::from(FIRST));
    let Ok(Ok(connection)) = timeout(Duration::from_secs(10), tls.accept(connection)).await else { return };
    let answer = service_fn(move |request: Request<Incoming>| std::future::ready(clusters.answer(number, &request)));
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), answer).await;
}

impl Clusters {
    fn answer(&self, number: u32, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, http::Error> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(asked) = self.asked.get(number as usize) {
            asked.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
        let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let is_broken = number < self.broken.load(Ordering::Relaxed);
        let (code, body) = match request.uri().path() {
            _ if bearer.and_then(|text| text.strip_prefix("Bearer ")) != Some(TOKEN) => {
                (StatusCode::UNAUTHORIZED, json!({}))
            }
            "/version" => (StatusCode::OK, json!({ "major": "1", "minor": "36" })),
            "/apis/apps/v1/namespaces/flux-system/deployments" => (StatusCode::OK, deployments(is_broken)),
            "/api/v1/namespaces/flux-system" => {
                let name = json!({ "name": "flux-system" });
                (StatusCode::OK, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": name }))
            }
            _ => (StatusCode::NOT_FOUND, json!({ "kind": "Status", "code": 404, "reason": "NotFound" })),
        };
        let response = Response::builder().status(code).header("content-type", "application/json");
        response.body(Full::new(Bytes::from(body.to_string())))
    }
}

fn deployments(broken: bool) -> Value {
    let ready = u32::from(!broken);
    let item = |name: &&str| {
        json!({ "metadata": { "name": name, "namespace": "flux-system", "generation": 1 },
            "spec": { "replicas": 1 },
            "status": { "observedGeneration": 1, "replicas": 1, "readyReplicas": ready, "updatedReplicas": 1,
                "availableReplicas": ready } })
    };
    json!({ "apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": { "resourceVersion": "1" },
        "items": DEPLOYMENTS.iter().map(item).collect::<Vec<_>>() })
}
