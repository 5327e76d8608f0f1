//! Multiplexes a client's requests over as few HTTP/2 connections as the hub's stream limit allows.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::Body;
use tokio::time::{Instant, Sleep, timeout};
use tower::{BoxError, Service};

use super::access::{Connector, Silence};

/// Concurrent requests and watches per connection. API servers allow 100 by default, older ones 250; one more would
/// queue behind watches, which never end.
const MAX_STREAMS: usize = 90;

/// HTTP/2 flow-control windows, in bytes. The connection has room for every stream's window, so an unread stream can't
/// block the others.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (MAX_STREAMS as u32);

/// Pool of connections. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub(super) struct Connections {
    connector: Connector,
    silence: Silence,
    connections: Arc<Mutex<Vec<Connection>>>,
}

/// One connection: opened with the first request, and again after it broke.
struct Connection {
    client: Client<Connector, Body>,
    /// Cloned once per request in flight.
    in_flight: Arc<()>,
}

impl Connections {
    pub(super) fn new(connector: Connector, silence: Silence) -> Self {
        Self { connector, silence, connections: Arc::default() }
    }

    /// Returns the first connection with a free stream, or a new one.
    fn with_free_stream(&self) -> (Client<Connector, Body>, Arc<()>) {
        let mut all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|one| Arc::strong_count(&one.in_flight) <= MAX_STREAMS).unwrap_or_else(|| {
            all.push(Connection { client: self.connection(), in_flight: Arc::default() });
            all.len() - 1
        });
        (all[index].client.clone(), all[index].in_flight.clone())
    }

    fn connection(&self) -> Client<Connector, Body> {
        // With `http2_only`, concurrent requests share one connection attempt.
        Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(self.silence.ping_after)
            .http2_keep_alive_timeout(self.silence.pong_within)
            .http2_keep_alive_while_idle(true)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .build(self.connector.clone())
    }
}

impl Service<Request<Body>> for Connections {
    type Response = Response<IdleTimeout<Incoming>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (client, in_flight) = self.with_free_stream();
        let limit = self.silence.stream;
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        async move {
            let late = |_| BoxError::from(format!("the hub sent nothing for {} s", limit.as_secs()));
            let response = timeout(limit, client.request(request)).await.map_err(late)??;
            Ok(response.map(|body| IdleTimeout::new(body, is_watch, limit, in_flight)))
        }
        .boxed()
    }
}

/// Body with a limit on the time between two frames.
pub(super) struct IdleTimeout<B> {
    body: B,
    is_watch: bool,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    is_over: bool,
    _in_flight: Arc<()>,
}

impl<B> IdleTimeout<B> {
    fn new(body: B, is_watch: bool, limit: Duration, in_flight: Arc<()>) -> Self {
        let timer = Box::pin(tokio::time::sleep(limit));
        Self { body, is_watch, limit, timer, is_over: false, _in_flight: in_flight }
    }
}

impl<B> http_body::Body for IdleTimeout<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let next = Instant::now() + self.limit;
            self.timer.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.timer.as_mut().poll(cx));
        self.is_over = true;
        if self.is_watch {
            // Same as an end by the API server: kube resumes from the last version.
            tracing::debug!(seconds = self.limit.as_secs(), "a watch of the hub was silent; restarting it");
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
