//! HTTP/2 to a target, on the crate that hyper's client stands on: for thousands of connections with a dozen watches
//! each, hyper's queue and its task for each request took a third of what a target costs in memory.

use std::future::Future;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use http::{Request, Response};
use hyper::body::Bytes;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

/// Small: h2 never gives back the room for frames that waited once. Large enough for 2.5 MB/s at 50 ms round trip.
const STREAM_WINDOW: u32 = 128 * 1024;
/// No stream that is not read for a while holds up another one: lists are read while watches are not.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 72;
const MAX_HEADERS: u32 = 32 * 1024;
/// An idle connection that was cut is noticed within the sum of these.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests over one connection.
#[derive(Clone)]
pub(super) struct Http2(SendRequest<Bytes>);

/// The body of one answer.
pub(super) struct Http2Body(RecvStream);

impl Http2 {
    /// Speaks HTTP/2 over the stream. The second value drives the connection, and ends with it.
    pub(super) async fn handshake(
        stream: TlsStream<TcpStream>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), h2::Error> {
        let (sender, mut connection) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            // Its entries would hold on to the buffers that they came in.
            .header_table_size(0)
            .handshake(stream)
            .await?;
        let pings = connection.ping_pong();
        let driver = async move {
            tokio::select! {
                _ = connection => {}
                () = until_unanswered(pings) => {}
            }
        };
        Ok((Self(sender), driver))
    }

    /// Sends a request without a body, when the target allows another stream.
    pub(super) async fn send(&self, request: Request<()>) -> Result<Response<Http2Body>, h2::Error> {
        let mut sender = self.0.clone().ready().await?;
        let (response, _): (ResponseFuture, _) = sender.send_request(request, true)?;
        Ok(response.await?.map(Http2Body))
    }
}

impl Http2Body {
    /// The next bytes; `None` at the end.
    pub(super) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let data = ready!(self.0.poll_data(context));
        if let Some(Ok(bytes)) = &data {
            // Fails only for more than was received.
            let _ = self.0.flow_control().release_capacity(bytes.len());
        }
        Poll::Ready(data)
    }
}

/// Ends when a PING is not answered.
async fn until_unanswered(pings: Option<PingPong>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        sleep(PING_EVERY).await;
        if !matches!(timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}
