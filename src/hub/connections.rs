//! All that a client asks of the hub, over as few HTTP/2 connections as the hub's limit of streams allows.

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

/// Requests and watches under way on one connection. An API server serves 100 at a time by default, older ones 250; a
/// further one would wait behind watches, which never end.
const STREAMS: usize = 90;

/// The bytes that the hub may send ahead on one stream, and on all of a connection: with room for each, one that is not
/// read can't hold up the others.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (STREAMS as u32);

/// Cheap to clone; clones share the connections.
#[derive(Clone)]
pub(super) struct Connections {
    connector: Connector,
    silence: Silence,
    connections: Arc<Mutex<Vec<Connection>>>,
}

/// One connection, once it is used, and again whenever it broke.
struct Connection {
    client: Client<Connector, Body>,
    /// As many clones as there are requests under way.
    under_way: Arc<()>,
}

impl Connections {
    pub(super) fn new(connector: Connector, silence: Silence) -> Self {
        Self { connector, silence, connections: Arc::default() }
    }

    /// The first that has room for a request; a new one if there is none.
    fn with_room(&self) -> (Client<Connector, Body>, Arc<()>) {
        let mut all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|one| Arc::strong_count(&one.under_way) <= STREAMS).unwrap_or_else(|| {
            all.push(Connection { client: self.connection(), under_way: Arc::default() });
            all.len() - 1
        });
        (all[index].client.clone(), all[index].under_way.clone())
    }

    fn connection(&self) -> Client<Connector, Body> {
        // One attempt to connect at a time, however many wait for it: which needs `http2_only`.
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
        let (client, under_way) = self.with_room();
        let patience = self.silence.stream;
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        async move {
            let late = |_| BoxError::from(format!("the hub sent nothing for {} s", patience.as_secs()));
            let response = timeout(patience, client.request(request)).await.map_err(late)??;
            Ok(response.map(|body| IdleTimeout::new(body, is_watch, patience, under_way)))
        }
        .boxed()
    }
}

/// A body that must not be silent for long.
pub(super) struct IdleTimeout<B> {
    body: B,
    is_watch: bool,
    patience: Duration,
    silent: Pin<Box<Sleep>>,
    is_over: bool,
    _under_way: Arc<()>,
}

impl<B> IdleTimeout<B> {
    fn new(body: B, is_watch: bool, patience: Duration, under_way: Arc<()>) -> Self {
        let silent = Box::pin(tokio::time::sleep(patience));
        Self { body, is_watch, patience, silent, is_over: false, _under_way: under_way }
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
            let next = Instant::now() + self.patience;
            self.silent.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.silent.as_mut().poll(cx));
        self.is_over = true;
        if self.is_watch {
            // As when the API server ends it: kube goes on from the last version.
            tracing::debug!(seconds = self.patience.as_secs(), "a watch of the hub was silent; asking again");
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
