//! One HTTP connection to a target: HTTP/2, or HTTP/1.1 where the target has nothing newer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::connection::{Connection, Credential};
use crate::domain::reason::{Failure, Reason};

const AGENT: &str = concat!("ksit/", env!("CARGO_PKG_VERSION"));

/// Bytes that a target may have under way to us; thousands of targets share the memory.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A connection on which nothing comes for this long is asked whether it lives.
const PING: Duration = Duration::from_secs(15);
const PING_DEADLINE: Duration = Duration::from_secs(10);

/// A live connection. Its driver ends with it.
pub(super) struct Session {
    sender: Sender,
    base: Base,
    _driver: JoinSet<()>,
}

enum Sender {
    Http2(http2::SendRequest<Empty<Bytes>>),
    /// One request at a time.
    Http1(Mutex<http1::SendRequest<Empty<Bytes>>>),
}

/// What every request to the target has in common.
struct Base {
    server: String,
    prefix: String,
    path: String,
    authorization: Option<HeaderValue>,
}

/// A complete answer.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Session {
    /// Speaks what the handshake agreed on.
    pub(super) async fn start(connection: &Connection, stream: TlsStream<TcpStream>) -> Result<Self, Failure> {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let base = Base::new(connection)?;
        let mut driver = JoinSet::new();
        let sender = if is_http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .keep_alive_interval(PING)
                .keep_alive_timeout(PING_DEADLINE)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| base.failure(&error))?;
            driver.spawn(async move {
                let _ = connection.await;
            });
            Sender::Http2(sender)
        } else {
            let (sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| base.failure(&error))?;
            driver.spawn(async move {
                let _ = connection.await;
            });
            Sender::Http1(Mutex::new(sender))
        };
        Ok(Self { sender, base, _driver: driver })
    }

    /// Whether a request has a chance.
    pub(super) fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http2(sender) => !sender.is_closed(),
            Sender::Http1(sender) => sender.try_lock().is_ok_and(|sender| !sender.is_closed()),
        }
    }

    /// The whole answer to a GET, if it is at most `cap` bytes. The deadline is the caller's.
    pub(super) async fn get(&self, path: &str, accept: &'static str, cap: usize) -> Result<Answered, Failure> {
        match &self.sender {
            Sender::Http2(sender) => {
                let request = self.base.request(path, accept, true)?;
                let response = sender.clone().send_request(request).await.map_err(|error| self.base.failure(&error))?;
                self.base.collect(response, cap).await
            }
            Sender::Http1(sender) => {
                let request = self.base.request(path, accept, false)?;
                let mut sender = sender.lock().await;
                sender.ready().await.map_err(|error| self.base.failure(&error))?;
                let response = sender.send_request(request).await.map_err(|error| self.base.failure(&error))?;
                self.base.collect(response, cap).await
            }
        }
    }
}

impl Base {
    fn new(connection: &Connection) -> Result<Self, Failure> {
        let authorization = match &connection.credential {
            Credential::Certificate { .. } => None,
            Credential::Token(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                    .map_err(|_| Failure::new(Reason::KubeconfigInvalid, "users[].user.token is no header value"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let server = connection.server();
        Ok(Self { prefix: format!("https://{server}"), server, path: connection.path.clone(), authorization })
    }

    fn request(&self, path: &str, accept: &'static str, absolute: bool) -> Result<Request<Empty<Bytes>>, Failure> {
        let prefix = if absolute { self.prefix.as_str() } else { "" };
        let bad = || Failure::new(Reason::KubeconfigInvalid, "clusters[].cluster.server makes no valid request");
        let uri: Uri = format!("{prefix}{}{path}", self.path).parse().map_err(|_| bad())?;
        let mut request = Request::get(uri).header(ACCEPT, accept).header(USER_AGENT, AGENT);
        if !absolute {
            request = request.header(HOST, &self.server);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Empty::new()).map_err(|_| bad())
    }

    async fn collect(&self, response: Response<Incoming>, cap: usize) -> Result<Answered, Failure> {
        let (head, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.failure(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len() + data.len() > cap {
                // Dropping the body resets the stream: the rest is never read.
                let message = format!("{} answered with more than {} MiB to one request", self.server, cap >> 20);
                return Err(Failure::new(Reason::AnswerTooLarge, message));
            }
            bytes.extend_from_slice(data);
        }
        Ok(Answered { status: head.status, body: bytes.freeze() })
    }

    fn failure(&self, error: &hyper::Error) -> Failure {
        let server = &self.server;
        if error.is_parse() {
            return Failure::new(Reason::InvalidAnswer, format!("{server} does not speak HTTP as it should"));
        }
        if error.is_timeout() {
            return Failure::new(Reason::TimedOut, format!("{server} stopped answering"));
        }
        Failure::new(Reason::ConnectionLost, format!("{server} closed the connection before it had answered"))
    }
}
