//! HTTP/2 to a target, directly on h2 instead of hyper's client: with thousands of connections and a dozen watches
//! each, hyper's queue and its task for each request took a third of the memory of a target.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use http::{Request, Response};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::io::InspectReader;

/// Small, as h2 never frees its buffers for queued frames. Large enough for 2.5 MB/s at 50 ms round trip.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Unread bytes that one target may have sent: room for the requests in flight, while watches are read.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 2;
const MAX_HEADERS: u32 = 32 * 1024;
/// A broken connection is detected within the sum of these. A target that sends anything needs no PING.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests over one connection.
#[derive(Clone)]
pub(super) struct Http2(SendRequest<Bytes>);

/// The body of one response.
pub(super) struct Http2Body(RecvStream);

impl Http2 {
    /// Starts HTTP/2 over the stream. The returned future drives the connection, and ends with it.
    pub(super) async fn handshake(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), h2::Error> {
        let last_read = Arc::new(LastRead(Mutex::new(Instant::now())));
        let on_read = last_read.clone();
        let stream = InspectReader::new(stream, move |_: &[u8]| *on_read.lock() = Instant::now());
        let (sender, mut connection) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            // Entries of the table would pin the buffers that they arrived in.
            .header_table_size(0)
            .handshake(stream)
            .await?;
        let pings = connection.ping_pong();
        let driver = async move {
            tokio::select! {
                _ = connection => {}
                () = until_ping_timeout(pings, last_read) => {}
            }
        };
        Ok((Self(sender), driver))
    }

    /// Sends a request, once the target allows another stream. An empty body is none.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Response<Http2Body>, h2::Error> {
        let mut sender = self.0.clone().ready().await?;
        let (head, body) = request.into_parts();
        let (response, mut stream): (ResponseFuture, _) =
            sender.send_request(Request::from_parts(head, ()), body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        Ok(response.await?.map(Http2Body))
    }
}

impl Http2Body {
    /// The next bytes; `None` at the end.
    pub(super) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let data = ready!(self.0.poll_data(context));
        if let Some(Ok(bytes)) = &data {
            // Fails only for more bytes than were received.
            let _ = self.0.flow_control().release_capacity(bytes.len());
        }
        Poll::Ready(data)
    }
}

/// When the target last sent bytes.
struct LastRead(Mutex<Instant>);

impl LastRead {
    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a PING when the target has been silent for [`PING_AFTER`], and returns when one is not answered.
async fn until_ping_timeout(pings: Option<PingPong>, last_read: Arc<LastRead>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        let due = *last_read.lock() + PING_AFTER;
        if Instant::now() < due {
            sleep_until(due).await;
        } else if !matches!(timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// An empty SETTINGS frame, which the first one may be.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    #[tokio::test(start_paused = true)]
    async fn ping_is_sent_to_silent_targets_only() {
        // The server never answers.
        let (near, mut far) = tokio::io::duplex(1 << 20);
        far.write_all(&SETTINGS).await.unwrap();
        let (_sender, driver) = Http2::handshake(near).await.unwrap();
        let mut driver = std::pin::pin!(driver);
        for _ in 0..60 {
            assert!(timeout(Duration::from_secs(5), driver.as_mut()).await.is_err());
            far.write_all(&PING).await.unwrap();
        }
        let silent_since = Instant::now();
        timeout(Duration::from_secs(3600), driver).await.expect("detected");
        assert_eq!(silent_since.elapsed().as_secs(), (PING_AFTER + PING_TIMEOUT).as_secs());
    }
}
