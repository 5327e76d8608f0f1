//! Many API servers in one process, for scale that real ones can't give on one machine. They are simulated and say so:
//! each answers what ksit asks of a cluster with a healthy Flux, over real TLS, and nothing else.
//!
//! One listener serves them all; the loopback address that was dialled (127.a.b.c) tells which one is meant.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

const TOKEN: &str = "simulated";

/// Of the simulated Flux.
const DEPLOYMENTS: [&str; 4] =
    ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"];

#[derive(Debug, Default)]
pub struct Counters {
    pub connections: AtomicU64,
    pub requests: AtomicU64,
}

/// Runs until it is dropped.
pub struct Simulator {
    port: u16,
    ca_pem: String,
    pub counters: Arc<Counters>,
    _tasks: JoinSet<()>,
}

impl Simulator {
    pub async fn start() -> Result<Self, SimulatorError> {
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
        let counters: Arc<Counters> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), counters.clone()));
        Ok(Self { port, ca_pem: pki.ca_pem().to_owned(), counters, _tasks: tasks })
    }

    /// The kubeconfig of one of them.
    pub fn kubeconfig(&self, number: u32) -> String {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
        let server = format!("https://{address}:{}", self.port);
        let text = kubeconfig("simulated", &server, &self.ca_pem, Credential::Token(TOKEN));
        text.replacen("\"server\":", "\"tls-server-name\":\"localhost\",\"server\":", 1)
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, counters: Arc<Counters>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((connection, peer)) = listener.accept() => {
                if !peer.ip().is_loopback() {
                    continue;
                }
                counters.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(connection, tls.clone(), counters.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(connection: TcpStream, tls: TlsAcceptor, counters: Arc<Counters>) {
    let _ = connection.set_nodelay(true);
    let Ok(Ok(connection)) = timeout(Duration::from_secs(10), tls.accept(connection)).await else { return };
    let answer = service_fn(move |request: Request<Incoming>| {
        counters.requests.fetch_add(1, Ordering::Relaxed);
        std::future::ready(answer(&request))
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), answer).await;
}

fn answer(request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, http::Error> {
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let (code, body) = match request.uri().path() {
        _ if bearer.and_then(|text| text.strip_prefix("Bearer ")) != Some(TOKEN) => {
            (StatusCode::UNAUTHORIZED, json!({}))
        }
        "/version" => (StatusCode::OK, json!({ "major": "1", "minor": "36" })),
        "/apis/apps/v1/namespaces/flux-system/deployments" => (StatusCode::OK, deployments()),
        "/api/v1/namespaces/flux-system" => (
            StatusCode::OK,
            json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "flux-system" } }),
        ),
        _ => (StatusCode::NOT_FOUND, json!({ "kind": "Status", "code": 404, "reason": "NotFound" })),
    };
    let response = Response::builder().status(code).header("content-type", "application/json");
    response.body(Full::new(Bytes::from(body.to_string())))
}

fn deployments() -> Value {
    let item = |name: &&str| {
        json!({ "metadata": { "name": name, "namespace": "flux-system", "generation": 1 },
            "spec": { "replicas": 1 },
            "status": { "observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1,
                "availableReplicas": 1 } })
    };
    json!({ "apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": { "resourceVersion": "1" },
        "items": DEPLOYMENTS.iter().map(item).collect::<Vec<_>>() })
}
