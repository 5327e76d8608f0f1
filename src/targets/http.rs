//! One HTTP connection to a target: GETs with a deadline and a cap on what is read.
//!
//! HTTP/2 where the target has it, else HTTP/1.1 with one request at a time. A [`Channel`] owns the tasks that drive
//! its connection; dropping it closes the connection, and dropping a request resets its stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::connection::Connection;
use super::tasks::{OwnedTasks, Tasks};
use super::{retry_after, tls};
use crate::domain::reason::{Failure, Reason};

/// Small, for thousands of idle targets; large enough for 5 MB/s at 50 ms round trip.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const MAX_HEADERS: u32 = 32 * 1024;
const HTTP1_BUFFER: usize = 64 * 1024;
/// An idle connection that was cut is noticed within the sum of these.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The body of an answer that is not 200 is read up to here, so that the connection can be used again, and forgotten.
const MAX_REFUSAL: usize = 64 * 1024;

/// What the target and ksit speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// What a GET brought. Everything else is a [`Failure`].
#[derive(Debug)]
pub(super) enum Reply {
    Body(Vec<u8>),
    NotFound,
    Forbidden,
    /// 410: a continue token that is too old.
    Gone,
}

/// A GET that failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub failure: Failure,
    /// How long the target asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self { failure, retry_after: None }
    }
}

/// An open connection.
pub(super) struct Channel {
    connection: Connection,
    sender: Sender,
    /// Ends the tasks with the channel.
    _tasks: OwnedTasks,
    answered: AtomicU64,
    lost: AtomicBool,
}

enum Sender {
    Http2(http2::SendRequest<Empty<Bytes>>),
    Http1(SingleSender),
}

/// The HTTP/1.1 sender is taken out while a request runs and put back when its body has been read whole. A request
/// that is given up takes the connection along, as HTTP/1.1 knows no other way to cancel.
struct SingleSender {
    turn: Semaphore,
    sender: Mutex<Option<http1::SendRequest<Empty<Bytes>>>>,
}

impl Channel {
    /// Speaks HTTP over the stream. `deadline` bounds the HTTP/2 preface.
    pub(super) async fn open(
        connection: Connection,
        stream: TlsStream<TcpStream>,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let tasks = OwnedTasks::default();
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        let host = connection.host_display();
        let handshake = async {
            if is_h2 {
                let (sender, driver) = http2_builder(tasks.executor()).handshake(io).await?;
                tasks.run(async { drop(driver.await) });
                Ok(Sender::Http2(sender))
            } else {
                let (sender, driver) = http1::Builder::new().max_buf_size(HTTP1_BUFFER).handshake(io).await?;
                tasks.run(async { drop(driver.await) });
                Ok(Sender::Http1(SingleSender { turn: Semaphore::new(1), sender: Mutex::new(Some(sender)) }))
            }
        };
        let sender = timeout_at(deadline, handshake)
            .await
            .map_err(|_| timed_out(&host))?
            .map_err(|error| transport_failure(&host, &error))?;
        Ok(Self { connection, sender, _tasks: tasks, answered: AtomicU64::new(0), lost: AtomicBool::new(false) })
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self.sender {
            Sender::Http2(_) => Protocol::Http2,
            Sender::Http1(_) => Protocol::Http1,
        }
    }

    /// Whether another request can be tried on it.
    pub(super) fn is_open(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
            && match &self.sender {
                Sender::Http2(sender) => !sender.is_closed(),
                // While it is taken out, a request runs on it.
                Sender::Http1(single) => {
                    single.turn.available_permits() == 0
                        || single.lock().as_ref().is_some_and(|sender| !sender.is_closed())
                }
            }
    }

    /// How many requests were answered on it, whatever the answer.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn host(&self) -> String {
        self.connection.host_display()
    }

    /// GETs a path (with its query) and reads the body up to `cap` bytes, headers and body within `deadline`.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &'static str,
        cap: usize,
        deadline: Instant,
    ) -> Result<Reply, Fault> {
        let result = timeout_at(deadline, self.exchange(path, accept, cap)).await;
        let result = result.unwrap_or_else(|_| Err(timed_out(&self.host()).into()));
        if result.as_ref().is_err_and(|fault| fault.failure.reason == Reason::ConnectionLost) {
            self.lost.store(true, Ordering::Relaxed);
        }
        result
    }

    async fn exchange(&self, path: &str, accept: &'static str, cap: usize) -> Result<Reply, Fault> {
        match &self.sender {
            Sender::Http2(sender) => {
                let mut sender = sender.clone();
                let request = self.request(path, accept)?;
                sender.ready().await.map_err(|error| self.transport(&error))?;
                let response = sender.send_request(request).await.map_err(|error| self.transport(&error))?;
                self.read(response, cap).await
            }
            Sender::Http1(single) => {
                let _turn = single.turn.acquire().await.map_err(|_| lost(&self.host()))?;
                let request = self.request(path, accept)?;
                let mut sender = single.lock().take().ok_or_else(|| lost(&self.host()))?;
                sender.ready().await.map_err(|error| self.transport(&error))?;
                let response = sender.send_request(request).await.map_err(|error| self.transport(&error))?;
                let result = self.read(response, cap).await;
                // A body that was given up can't be skipped: the connection goes with it.
                let is_whole = result.as_ref().map_or_else(|fault| is_whole(&fault.failure), |_| true);
                if is_whole && !self.lost.load(Ordering::Relaxed) {
                    *single.lock() = Some(sender);
                }
                result
            }
        }
    }

    fn request(&self, path: &str, accept: &'static str) -> Result<Request<Empty<Bytes>>, Failure> {
        let server = self.connection.server();
        let origin = format!("{}{path}", server.path);
        let uri = match self.sender {
            Sender::Http2(_) => format!("https://{}{origin}", server.authority()),
            Sender::Http1(_) => origin,
        };
        let mut request = Request::get(uri)
            .header(ACCEPT, HeaderValue::from_static(accept))
            .header(USER_AGENT, concat!("ksit/", env!("CARGO_PKG_VERSION")));
        if let Sender::Http1(_) = self.sender {
            request = request.header(HOST, server.authority());
        }
        if let Some(authorization) = self.connection.authorization() {
            request = request.header(AUTHORIZATION, authorization);
        }
        request
            .body(Empty::new())
            .map_err(|_| Failure::new(Reason::InvalidConfig, format!("no request for {} can be made", self.host())))
    }

    async fn read(&self, response: Response<Incoming>, cap: usize) -> Result<Reply, Fault> {
        let status = response.status();
        let wait = (status == StatusCode::TOO_MANY_REQUESTS)
            .then(|| retry_after::parse(response.headers().get(RETRY_AFTER)))
            .flatten();
        let reply = if status == StatusCode::OK {
            Reply::Body(self.body(response.into_body(), cap).await?)
        } else {
            // Its content is the target's: it is read only to get rid of it.
            let rest = self.body(response.into_body(), MAX_REFUSAL).await;
            if rest.is_err() && self.protocol() == Protocol::Http1 {
                self.lost.store(true, Ordering::Relaxed);
            }
            self.refusal(status, wait)?
        };
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(reply)
    }

    async fn body(&self, mut body: Incoming, cap: usize) -> Result<Vec<u8>, Failure> {
        let promised = body.size_hint().lower();
        if promised > cap as u64 {
            return Err(too_large(&self.host(), cap));
        }
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| self.transport(&error))?.into_data() else { continue };
            if bytes.len() + data.len() > cap {
                return Err(too_large(&self.host(), cap));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    fn refusal(&self, status: StatusCode, retry_after: Option<Duration>) -> Result<Reply, Fault> {
        let host = self.host();
        let failure = match status {
            StatusCode::NOT_FOUND => return Ok(Reply::NotFound),
            StatusCode::FORBIDDEN => return Ok(Reply::Forbidden),
            StatusCode::GONE => return Ok(Reply::Gone),
            StatusCode::UNAUTHORIZED => Failure::new(
                Reason::Unauthorized,
                format!("{host} does not accept the credential (401); put a valid one into the kubeconfig"),
            ),
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = retry_after.map(|wait| format!(" and asks to wait {} s", wait.as_secs()));
                let message = format!("{host} is throttling (429){}", wait.unwrap_or_default());
                return Err(Fault { failure: Failure::new(Reason::Throttled, message), retry_after });
            }
            status if status.is_server_error() => Failure::new(
                Reason::ServerError,
                format!("{host} answered {}; look at the API server of the target", status.as_u16()),
            ),
            status if status.is_redirection() => Failure::new(
                Reason::InvalidAnswer,
                format!(
                    "{host} redirects ({}), which ksit does not follow; give the API server's own address",
                    status.as_u16()
                ),
            ),
            status => Failure::new(
                Reason::InvalidAnswer,
                format!("{host} answered {}; check that it is a Kubernetes API server", status.as_u16()),
            ),
        };
        Err(failure.into())
    }

    fn transport(&self, error: &hyper::Error) -> Failure {
        transport_failure(&self.host(), error)
    }
}

impl SingleSender {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<http1::SendRequest<Empty<Bytes>>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures that come with a body read to its end.
fn is_whole(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::Unauthorized | Reason::Throttled | Reason::ServerError)
}

fn http2_builder(tasks: Tasks) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buf_size(16 * 1024)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    builder
}

fn timed_out(host: &str) -> Failure {
    Failure::new(
        Reason::TimedOut,
        format!("{host} accepted the connection and did not answer in time; look at the API server of the target"),
    )
}

fn lost(host: &str) -> Failure {
    Failure::new(Reason::ConnectionLost, format!("{host} ended the connection before its answer was complete"))
}

fn too_large(host: &str, cap: usize) -> Failure {
    Failure::new(
        Reason::AnswerTooLarge,
        format!("{host} sent an answer of more than {} KiB, which is the most that ksit reads", cap / 1024),
    )
}

fn transport_failure(host: &str, error: &hyper::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        // With TLS 1.3 the target's verdict on a client certificate comes after the handshake.
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(error) = wrapped.and_then(|error| error.downcast_ref::<rustls::Error>()) {
            return tls::tls_failure(host, error);
        }
        source = inner.source();
    }
    if error.is_parse() || error.is_parse_too_large() {
        return Failure::new(
            Reason::InvalidAnswer,
            format!("{host} does not speak HTTP as it should; check that it is a Kubernetes API server"),
        );
    }
    lost(host)
}
