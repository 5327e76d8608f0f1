//! A plain HTTP client for one simulated cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::SOON;
use crate::Simulator;

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

pub(super) struct Client {
    sender: Sender,
    token: String,
    /// Ends with the connection.
    pub(super) driver: JoinSet<()>,
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(super) fn version(&self) -> u64 {
        self.json()["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    }
}

impl Client {
    pub(super) async fn connect(simulator: &Simulator, number: u32) -> Self {
        Self::try_connect(simulator, number, &[b"h2"]).await.unwrap()
    }

    pub(super) async fn connect_http1(simulator: &Simulator, number: u32) -> Self {
        Self::try_connect(simulator, number, &[b"http/1.1"]).await.unwrap()
    }

    pub(super) async fn try_connect(simulator: &Simulator, number: u32, alpn: &[&[u8]]) -> Result<Self, Failure> {
        let all = simulator.addresses();
        let address = &all.targets[number as usize];
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(all.ca.as_bytes())?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(SocketAddr::from((address.host, address.port))).await?;
        let stream =
            TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(all.server_name)?, stream).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let mut driver = JoinSet::new();
        let sender = if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            driver.spawn(async { drop(connection.await) });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            driver.spawn(async { drop(connection.await) });
            Sender::Http1(sender)
        };
        Ok(Self { sender, token: address.token.clone(), driver })
    }

    pub(super) async fn send(&mut self, path: &str, accept: &str) -> Result<http::Response<Incoming>, hyper::Error> {
        let request = Request::get(match self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("https://localhost{path}"),
        });
        let request = request
            .header("host", "localhost")
            .header("accept", accept)
            .header("authorization", format!("Bearer {}", self.token))
            .body(Empty::new())
            .unwrap();
        match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }

    pub(super) async fn try_get(&mut self, path: &str) -> Result<Reply, Failure> {
        let response = self.send(path, "application/json").await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
        Ok(Reply { status, headers, text })
    }

    pub(super) async fn get(&mut self, path: &str) -> Reply {
        timeout(SOON, self.try_get(path)).await.expect("an answer").unwrap()
    }

    pub(super) async fn watch(&mut self, path: &str, query: &str) -> Events {
        let path = format!("{path}?watch=true&{query}");
        let sent = self.send(&path, "application/json");
        let response = timeout(SOON, sent).await.expect("headers at once").unwrap();
        assert_eq!(response.status(), 200);
        Events { body: response.into_body(), unread: String::new() }
    }
}

/// The lines of a watch.
pub(super) struct Events {
    body: Incoming,
    unread: String,
}

impl Events {
    /// The next event; `None` if the watch has ended.
    pub(super) async fn next(&mut self) -> Option<Value> {
        timeout(SOON, self.line()).await.expect("a line").map(|line| serde_json::from_str(&line).unwrap())
    }

    /// Type and object name of the next event.
    pub(super) async fn next_as(&mut self) -> (String, String) {
        let event = self.next().await.expect("the watch goes on");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }

    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.unread.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.unread = rest;
                return Some(line);
            }
            let frame = self.body.frame().await?.ok()?;
            self.unread.push_str(std::str::from_utf8(&frame.into_data().ok()?).unwrap());
        }
    }
}
