use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use http_body_util::StreamBody;
use http_body_util::combinators::BoxBody;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Config;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::super::access::HubAccess;
use super::super::history::History;
use super::super::watch::{Change, watch};
use super::*;
use crate::api::IntegrationTarget;

/// Concurrent streams that the API server allows per connection.
const HUB_STREAMS: u32 = 100;

/// An API server without objects, over HTTP/2. Its watches stay silent.
struct EmptyHub {
    address: SocketAddr,
    ca_pem: String,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    lists: AtomicUsize,
    /// The resourceVersions that watches started from.
    watches: Mutex<Vec<String>>,
}

impl EmptyHub {
    async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (ca_pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts: Arc<Counts> = Arc::default();
        let mut tasks = JoinSet::new();
        let shared = counts.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (tls, counts) = (tls.clone(), shared.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(tcp).await else { return };
                    counts.connections.fetch_add(1, Ordering::Relaxed);
                    let service = service_fn(|request: Request<Incoming>| {
                        let answer = counts.answer(request.uri().query().unwrap_or_default());
                        async { Ok::<_, Infallible>(Response::new(answer)) }
                    });
                    let mut server = http2::Builder::new(TokioExecutor::new());
                    server.max_concurrent_streams(HUB_STREAMS);
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, ca_pem, counts, _tasks: tasks }
    }

    /// A client that restarts a watch after this much silence.
    async fn client(&self, silence: Duration) -> kube::Client {
        let mut config = Config::new(format!("https://{}", self.address).parse().unwrap());
        config.root_cert = Some(vec![CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap().to_vec()]);
        let silence = Silence { stream: silence, ..Silence::default() };
        HubAccess::to(config, silence).await.unwrap().client().unwrap()
    }
}

impl Counts {
    fn answer(&self, query: &str) -> BoxBody<Bytes, Infallible> {
        if query.contains("watch=true") {
            let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap_or_default();
            self.watches.lock().unwrap().push(version.to_owned());
            return BoxBody::new(StreamBody::new(stream::pending()));
        }
        self.lists.fetch_add(1, Ordering::Relaxed);
        let list = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTargetList",
            "metadata": { "resourceVersion": "7" }, "items": [] });
        let list = Bytes::from(list.to_string());
        BoxBody::new(StreamBody::new(stream::iter([Ok(Frame::data(list))])))
    }

    fn watches(&self) -> Vec<String> {
        self.watches.lock().unwrap().clone()
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), wait).await.expect("the condition never became true");
}

#[tokio::test]
async fn watch_silent_stream_resumes_without_a_list() {
    let hub = EmptyHub::start().await;
    let client = hub.client(Duration::from_secs(1)).await;
    let mut changes = watch::<IntegrationTarget>(client, &History::default(), None, None).boxed();
    assert!(matches!(changes.next().await, Some(Change::Listed(_))));
    let watching = async { changes.next().await };
    tokio::select! {
        change = watching => panic!("nothing changed: {change:?}"),
        () = until(|| hub.counts.watches().len() >= 3) => {}
    }
    assert!(hub.counts.watches().iter().all(|version| version == "7"), "each resumes from the last version");
    assert_eq!(hub.counts.lists.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn watches_beyond_the_stream_limit_get_another_connection() {
    let hub = EmptyHub::start().await;
    let client = hub.client(Duration::from_secs(90)).await;
    let before = hub.counts.connections.load(Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    for number in 0..600 {
        let namespace = format!("team-{number}");
        let mut changes =
            watch::<IntegrationTarget>(client.clone(), &History::default(), Some(&namespace), None).boxed();
        tasks.spawn(async move { while changes.next().await.is_some() {} });
    }
    until(|| hub.counts.watches().len() == 600).await;
    let connections = hub.counts.connections.load(Ordering::Relaxed) - before;
    assert!((7..=8).contains(&connections), "{connections}");
    // With all watches open, requests still find a free stream and need no connection each.
    for _ in 0..20 {
        client.request_text(Request::get("/version").body(Vec::new()).unwrap()).await.unwrap();
    }
    assert!(hub.counts.connections.load(Ordering::Relaxed) - before <= 8);
}
