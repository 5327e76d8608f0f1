//! One HTTP connection to a target: GETs with a deadline and a cap on what is read.
//!
//! HTTP/2 where the target has it, else HTTP/1.1 with one request at a time. A [`Channel`] owns the tasks that drive
//! its connection; dropping it closes the connection, and dropping a request resets its stream.

use std::future::Future;
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
use super::fault::{Fault, Refused, lost, refusal, timed_out, too_large, transport_failure};
use super::limits::{Limits, Share};
use super::retry_after;
use super::tasks::{OwnedTasks, Tasks};
use crate::domain::reason::{Failure, Reason};

/// Small: h2 never gives back the room for frames that waited once. Large enough for 2.5 MB/s at 50 ms round trip.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
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

/// What a GET brought. Everything else is a [`Fault`].
pub(super) type Reply<T> = Result<T, Refused>;

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

    /// GETs a path (with its query) and reads the body as far as `limits` allow, headers and body within `deadline`.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &'static str,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Reply<Vec<u8>>, Fault> {
        self.within(deadline, self.exchange(path, accept, limits)).await
    }

    /// GETs a path whose answer has no end; its headers within `deadline`. HTTP/2 only.
    pub(super) async fn open_stream(
        &self,
        path: &str,
        accept: &'static str,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Reply<Incoming>, Fault> {
        let Sender::Http2(sender) = &self.sender else { return Err(lost(&self.host()).into()) };
        let exchange = async {
            let response = self.send(sender, path, accept).await?;
            self.answered.fetch_add(1, Ordering::Relaxed);
            match response.status() {
                StatusCode::OK => Ok(Ok(response.into_body())),
                _ => Ok(Err(self.refused(response, limits).await?)),
            }
        };
        self.within(deadline, exchange).await
    }

    async fn within<T>(&self, deadline: Instant, exchange: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let result = timeout_at(deadline, exchange).await;
        let result = result.unwrap_or_else(|_| Err(timed_out(&self.host()).into()));
        if result.as_ref().is_err_and(|fault| fault.failure.reason == Reason::ConnectionLost) {
            self.lost.store(true, Ordering::Relaxed);
        }
        result
    }

    async fn exchange(&self, path: &str, accept: &'static str, limits: &Limits) -> Result<Reply<Vec<u8>>, Fault> {
        match &self.sender {
            Sender::Http2(sender) => {
                let response = self.send(sender, path, accept).await?;
                self.read(response, limits).await
            }
            Sender::Http1(single) => {
                let _turn = single.turn.acquire().await.map_err(|_| lost(&self.host()))?;
                let request = self.request(path, accept)?;
                let mut sender = single.lock().take().ok_or_else(|| lost(&self.host()))?;
                sender.ready().await.map_err(|error| self.transport(&error))?;
                let response = sender.send_request(request).await.map_err(|error| self.transport(&error))?;
                let result = self.read(response, limits).await;
                // A body that was given up can't be skipped: the connection goes with it.
                let is_whole = result.as_ref().map_or_else(|fault| is_whole(&fault.failure), |_| true);
                if is_whole && !self.lost.load(Ordering::Relaxed) {
                    *single.lock() = Some(sender);
                }
                result
            }
        }
    }

    async fn send(
        &self,
        sender: &http2::SendRequest<Empty<Bytes>>,
        path: &str,
        accept: &'static str,
    ) -> Result<Response<Incoming>, Fault> {
        let mut sender = sender.clone();
        let request = self.request(path, accept)?;
        sender.ready().await.map_err(|error| self.transport(&error))?;
        Ok(sender.send_request(request).await.map_err(|error| self.transport(&error))?)
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

    async fn read(&self, response: Response<Incoming>, limits: &Limits) -> Result<Reply<Vec<u8>>, Fault> {
        let reply = match response.status() {
            StatusCode::OK => Ok(self.body(response.into_body(), limits.settings().body_bytes, limits).await?),
            _ => Err(self.refused(response, limits).await?),
        };
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(reply)
    }

    async fn refused(&self, response: Response<Incoming>, limits: &Limits) -> Result<Refused, Fault> {
        let status = response.status();
        let wait = (status == StatusCode::TOO_MANY_REQUESTS)
            .then(|| retry_after::parse(response.headers().get(RETRY_AFTER)))
            .flatten();
        // Its content is the target's: it is read only to get rid of it.
        let rest = self.body(response.into_body(), MAX_REFUSAL, limits).await;
        if rest.is_err() && self.protocol() == Protocol::Http1 {
            self.lost.store(true, Ordering::Relaxed);
        }
        refusal(&self.host(), status, wait)
    }

    async fn body(&self, mut body: Incoming, cap: usize, limits: &Limits) -> Result<Vec<u8>, Failure> {
        let promised = body.size_hint().lower();
        if promised > cap as u64 {
            return Err(too_large(&self.host(), cap));
        }
        let mut bytes = Vec::new();
        let mut share = Share::default();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| self.transport(&error))?.into_data() else { continue };
            if bytes.len() + data.len() > cap {
                return Err(too_large(&self.host(), cap));
            }
            share.grow(limits, bytes.len() + data.len()).await;
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
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
