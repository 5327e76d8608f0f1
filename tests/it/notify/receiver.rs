//! A small HTTP server that keeps what it receives.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use axum::{Router, body};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::kit::eventually;

#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Ends with its owner.
pub struct Receiver {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    code: Arc<AtomicU16>,
    _server: JoinSet<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (received, code) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::new(AtomicU16::new(200)));
        let (kept, answer) = (received.clone(), code.clone());
        let receive = move |request: Request| {
            let (kept, answer) = (kept.clone(), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body::to_bytes(body, 1 << 20).await.unwrap();
                let code = StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap();
                let path = head.uri.path_and_query().unwrap().to_string();
                kept.lock().unwrap().push(Received { path, headers: head.headers, body });
                (code, "the receiver's own words")
            }
        };
        let app = Router::new().fallback(any(receive));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, received, code, _server: server }
    }

    /// Answers with this status code from now on.
    pub fn answer(&self, code: u16) {
        self.code.store(code, Ordering::SeqCst);
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The requests received so far, once they satisfy `wanted`.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        eventually(what, async || Some(self.received()).filter(|received| wanted(received))).await
    }
}
