//! One HTTP connection to a target: requests with a deadline and a cap on the response size.
//!
//! HTTP/2 if the target supports it, else HTTP/1.1 with one request at a time. A [`Channel`] owns the task that drives
//! its connection; dropping it closes the connection, and dropping a request resets its stream.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::ask::Ask;
use super::body::Body;
use super::connection::Connection;
use super::content::{Content, content_length, is_encoded};
use super::decode;
use super::fault::{Fault, Refused, encoded, http1_failure, http2_failure, lost, refusal, timed_out, too_large};
use super::http2::{Http2, Http2Body};
use super::limits::{Limits, MemoryPermit};
use super::proxy::Transport;
use super::retry_after;
use crate::domain::reason::{Failure, Reason};

const HTTP1_BUFFER: usize = 64 * 1024;
/// Cap on the body of a response other than 200, which is read so that the connection can be reused. Only whether it is
/// a Status is kept.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// Bounds a watch that hangs without notice, as in client-go.
const WATCH_SECONDS: RangeInclusive<u64> = 300..=600;

/// The negotiated HTTP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Carries one request at a time, and no watches.
    Http1,
    /// Carries all requests and watches of a target.
    Http2,
}

/// The response to a request. Anything else is a [`Fault`].
pub(super) enum Reply<T> {
    Body(T),
    Refused(Refused),
}

/// A response, unless there was no memory for its body.
enum Exchange {
    /// With its `Date`.
    Reply(Reply<Vec<u8>>, Option<HeaderValue>),
    NoMemory,
}

/// An open connection.
pub(super) struct Channel {
    connection: Connection,
    /// For messages.
    host: String,
    authority: Authority,
    sender: Sender,
    driver: AbortHandle,
    /// Aborts the driver when the channel is dropped.
    _tasks: JoinSet<()>,
    /// `timeoutSeconds` of watches.
    watch_time: u64,
    answered: AtomicU64,
    lost: AtomicBool,
    without_streamed_lists: AtomicBool,
}

enum Sender {
    Http2(Http2),
    Http1(SingleSender),
}

/// The HTTP/1.1 sender is taken out while a request runs, and put back once the body is fully read. A cancelled request
/// closes the connection, as HTTP/1.1 has no other way to cancel.
struct SingleSender {
    permit: Semaphore,
    sender: Mutex<Option<http1::SendRequest<Full<Bytes>>>>,
}

impl Channel {
    /// Starts HTTP over the stream. `permit` is released with the socket; `deadline` bounds the HTTP/2 preface.
    pub(super) async fn open(
        connection: Connection,
        stream: TlsStream<Transport>,
        permit: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let host = connection.host_display();
        let authority = Authority::try_from(connection.server().authority.as_str()).map_err(|_| no_request(&host))?;
        let mut tasks = JoinSet::new();
        let handshake = async {
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let (sender, driver) = Http2::handshake(stream).await.map_err(|error| http2_failure(&host, &error))?;
                let driver = async move {
                    driver.await;
                    drop(permit);
                };
                Ok((Sender::Http2(sender), tasks.spawn(driver)))
            } else {
                let io = TokioIo::new(stream);
                let (sender, driver) = http1::Builder::new()
                    .max_buf_size(HTTP1_BUFFER)
                    .handshake(io)
                    .await
                    .map_err(|error| http1_failure(&host, &error))?;
                let single = SingleSender { permit: Semaphore::new(1), sender: Mutex::new(Some(sender)) };
                let driver = async move {
                    drop(driver.await);
                    drop(permit);
                };
                Ok((Sender::Http1(single), tasks.spawn(driver)))
            }
        };
        let (sender, driver) = timeout_at(deadline, handshake).await.map_err(|_| timed_out(&host))??;
        let (answered, lost, without_streamed_lists) = Default::default();
        let watch_time = rand::random_range(WATCH_SECONDS);
        Ok(Self {
            connection,
            host,
            authority,
            sender,
            driver,
            _tasks: tasks,
            watch_time,
            answered,
            lost,
            without_streamed_lists,
        })
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self.sender {
            Sender::Http2(_) => Protocol::Http2,
            Sender::Http1(_) => Protocol::Http1,
        }
    }

    /// Whether the connection can take another request.
    pub(super) fn is_open(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
            && !self.driver.is_finished()
            && match &self.sender {
                Sender::Http2(_) => true,
                // A request is running while the sender is taken out.
                Sender::Http1(single) => {
                    single.permit.available_permits() == 0
                        || single.lock().as_ref().is_some_and(|sender| !sender.is_closed())
                }
            }
    }

    /// Number of responses received, whatever their status.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// `timeoutSeconds` of the watches of this connection, which end together and are reopened in one round.
    pub(super) fn watch_time(&self) -> u64 {
        self.watch_time
    }

    /// Whether to try streaming lists (watches that begin with a list).
    pub(super) fn may_stream_lists(&self) -> bool {
        !self.without_streamed_lists.load(Ordering::Relaxed)
    }

    /// Records that the target does not support streaming lists.
    pub(super) fn give_up_streamed_lists(&self) {
        self.without_streamed_lists.store(true, Ordering::Relaxed);
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// GETs a path (with its query) and reads the body within `limits`, headers and body before `deadline`.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &'static str,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Reply<Vec<u8>>, Fault> {
        self.ask(Ask::get(path, accept), limits, deadline).await
    }

    /// Sends a request and reads the body within `limits`, headers and body before `deadline`.
    pub(super) async fn ask(&self, ask: Ask<'_>, limits: &Limits, deadline: Instant) -> Result<Reply<Vec<u8>>, Fault> {
        Ok(self.ask_dated(ask, limits, deadline).await?.0)
    }

    /// As [`Self::ask`], with the target's time if it gives one: see [`date`](super::content::date).
    pub(super) async fn ask_dated(
        &self,
        ask: Ask<'_>,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<(Reply<Vec<u8>>, Option<HeaderValue>), Fault> {
        let exchange = async {
            let mut memory = MemoryPermit::default();
            loop {
                match self.exchange(&ask, limits, &mut memory).await? {
                    Exchange::Reply(reply, date) => return Ok((reply, date)),
                    Exchange::NoMemory => memory.start_over(limits).await,
                }
            }
        };
        self.within(deadline, exchange).await
    }

    /// GETs a path with an endless response; its headers before `deadline`. HTTP/2 only.
    pub(super) async fn open_stream(
        &self,
        path: &str,
        accept: &'static str,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Reply<Http2Body>, Fault> {
        let Sender::Http2(sender) = &self.sender else { return Err(lost(self.host()).into()) };
        let exchange = async {
            let response = self.send(sender, &Ask::get(path, accept)).await?;
            self.answered.fetch_add(1, Ordering::Relaxed);
            match response.status() {
                StatusCode::OK => Ok(Reply::Body(response.into_body())),
                _ => Ok(Reply::Refused(self.read_refusal(response.map(Content::Http2), limits).await?)),
            }
        };
        self.within(deadline, exchange).await
    }

    /// Not `async`, which would store the `exchange` future twice; each target has a dozen of them.
    fn within<T>(
        &self,
        deadline: Instant,
        exchange: impl Future<Output = Result<T, Fault>>,
    ) -> impl Future<Output = Result<T, Fault>> {
        timeout_at(deadline, exchange).map(|result| {
            let result = result.unwrap_or_else(|_| Err(timed_out(self.host()).into()));
            if result.as_ref().is_err_and(|fault| fault.failure.reason == Reason::ConnectionLost) {
                self.lost.store(true, Ordering::Relaxed);
            }
            result
        })
    }

    async fn exchange(&self, ask: &Ask<'_>, limits: &Limits, memory: &mut MemoryPermit) -> Result<Exchange, Fault> {
        match &self.sender {
            Sender::Http2(sender) => {
                let response = self.send(sender, ask).await?;
                self.read(response.map(Content::Http2), limits, memory).await
            }
            Sender::Http1(single) => {
                let _permit = single.permit.acquire().await.map_err(|_| lost(self.host()))?;
                let request = self.request(ask)?.map(Full::new);
                let mut sender = single.lock().take().ok_or_else(|| lost(self.host()))?;
                let failed = |error| http1_failure(self.host(), &error);
                let answer = async {
                    sender.ready().await.map_err(failed)?;
                    let response = sender.send_request(request).await.map_err(failed)?;
                    self.read(response.map(Content::Http1), limits, memory).await
                };
                // The deadline of the round has room for several requests, one after the other.
                let late = |_| Err(timed_out(self.host()).into());
                let result = timeout(limits.settings().round_timeout, answer).await.unwrap_or_else(late);
                // A partially read body can't be skipped: the connection is dropped.
                let is_read = result.as_ref().map_or_else(|fault| is_body_read(&fault.failure), |_| true);
                if is_read && !self.lost.load(Ordering::Relaxed) {
                    *single.lock() = Some(sender);
                }
                result
            }
        }
    }

    async fn send(&self, sender: &Http2, ask: &Ask<'_>) -> Result<Response<Http2Body>, Fault> {
        let request = self.request(ask)?;
        Ok(sender.send(request).await.map_err(|error| http2_failure(self.host(), &error))?)
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Bytes>, Failure> {
        let Ask { path, accept, body } = ask;
        let uri = Uri::builder().path_and_query(format!("{}{path}", self.connection.server().path));
        let uri = match self.sender {
            Sender::Http2(_) => uri.scheme(Scheme::HTTPS).authority(self.authority.clone()),
            Sender::Http1(_) => uri,
        };
        let mut request = Request::get(uri.build().map_err(|_| no_request(self.host()))?)
            .header(ACCEPT, HeaderValue::from_static(accept))
            // Without it any coding is acceptable (RFC 9110, 12.5.3), and some gateways then use gzip.
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .header(USER_AGENT, HeaderValue::from_static(concat!("ksit/", env!("CARGO_PKG_VERSION"))));
        if let Sender::Http1(_) = self.sender {
            request = request.header(HOST, self.authority.as_str());
        }
        if let Some(authorization) = self.connection.authorization()? {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !body.is_empty() {
            request = request.method(Method::POST).header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.body(body.clone()).map_err(|_| no_request(self.host()))
    }

    async fn read(
        &self,
        response: Response<Content>,
        limits: &Limits,
        memory: &mut MemoryPermit,
    ) -> Result<Exchange, Fault> {
        let date = response.headers().get(DATE).cloned();
        let exchange = match response.status() {
            StatusCode::OK | StatusCode::CREATED => {
                match self.read_body(response, limits.settings().body_bytes, limits, memory).await? {
                    Some(body) => Exchange::Reply(Reply::Body(body), date),
                    None => Exchange::NoMemory,
                }
            }
            _ => Exchange::Reply(Reply::Refused(self.read_refusal(response, limits).await?), date),
        };
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(exchange)
    }

    async fn read_refusal(&self, response: Response<Content>, limits: &Limits) -> Result<Refused, Fault> {
        let status = response.status();
        let wait = (status == StatusCode::TOO_MANY_REQUESTS)
            .then(|| retry_after::parse(response.headers().get(RETRY_AFTER)))
            .flatten();
        let body = self.read_body(response, MAX_ERROR_BODY, limits, &mut MemoryPermit::default()).await;
        if body.is_err() && self.protocol() == Protocol::Http1 {
            self.lost.store(true, Ordering::Relaxed);
        }
        let is_status = body.is_ok_and(|body| body.is_some_and(|mut body| decode::is_status(&mut body)));
        refusal(self.host(), status, is_status, wait)
    }

    /// Reads the body. `None` if there is no memory for it: the body is dropped, with what h2 has buffered of it.
    /// HTTP/1.1 waits for memory instead, as only a fully read body leaves its connection usable.
    async fn read_body(
        &self,
        response: Response<Content>,
        cap: usize,
        limits: &Limits,
        memory: &mut MemoryPermit,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if is_encoded(response.headers()) {
            return Err(encoded(self.host()));
        }
        if content_length(response.headers()) > cap as u64 {
            return Err(too_large(self.host(), cap));
        }
        let mut content = response.into_body();
        let mut body = Body::default();
        while let Some(data) = content.next(self.host()).await? {
            let length = body.len() + data.len();
            if length > cap {
                return Err(too_large(self.host(), cap));
            }
            match content {
                Content::Http1(_) => memory.grow(limits, length).await,
                Content::Http2(_) if memory.try_grow(limits, length) => {}
                Content::Http2(_) => return Ok(None),
            }
            body.add(&data);
        }
        Ok(Some(body.into_bytes()))
    }
}

fn no_request(host: &str) -> Failure {
    Failure::new(Reason::InvalidConfig, format!("no request to {host} can be built"))
}

impl SingleSender {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<http1::SendRequest<Full<Bytes>>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the failure comes from a response whose body was fully read.
fn is_body_read(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::Unauthorized | Reason::Throttled | Reason::ServerError)
}
