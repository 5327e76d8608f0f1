//! HTTP/2 to a target, on the crate that hyper's client stands on: for thousands of connections with a dozen watches
//! each, hyper's queue and its task for each request took a third of what a target costs in memory.

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

/// Small: h2 never gives back the room for frames that waited once. Large enough for 2.5 MB/s at 50 ms round trip.
const STREAM_WINDOW: u32 = 128 * 1024;
/// What one target may have sent that was not read yet: room for the requests in flight, beside which watches are read.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 2;
const MAX_HEADERS: u32 = 32 * 1024;
/// A connection that was cut is noticed within the sum of these. Whoever sends anything needs no PING.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests over one connection.
#[derive(Clone)]
pub(super) struct Http2(SendRequest<Bytes>);

/// The body of one answer.
pub(super) struct Http2Body(RecvStream);

impl Http2 {
    /// Speaks HTTP/2 over the stream. The second value drives the connection, and ends with it.
    pub(super) async fn handshake(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), h2::Error> {
        let heard = Arc::new(LastHeard(Mutex::new(Instant::now())));
        let hears = heard.clone();
        let stream = InspectReader::new(stream, move |_: &[u8]| *hears.lock() = Instant::now());
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
                () = until_unanswered(pings, heard) => {}
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

/// When the target sent something last.
struct LastHeard(Mutex<Instant>);

impl LastHeard {
    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when a PING is not answered, which is sent when nothing was heard for a while.
async fn until_unanswered(pings: Option<PingPong>, heard: Arc<LastHeard>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        let due = *heard.lock() + PING_AFTER;
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

    /// Empty, as the first one may be.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    #[tokio::test(start_paused = true)]
    async fn only_who_is_silent_is_asked_whether_it_is_there() {
        // The other side answers nothing, whatever it is asked.
        let (near, mut far) = tokio::io::duplex(1 << 20);
        far.write_all(&SETTINGS).await.unwrap();
        let (_sender, driver) = Http2::handshake(near).await.unwrap();
        let mut driver = std::pin::pin!(driver);
        for _ in 0..60 {
            assert!(timeout(Duration::from_secs(5), driver.as_mut()).await.is_err());
            far.write_all(&PING).await.unwrap();
        }
        let silent_since = Instant::now();
        timeout(Duration::from_secs(3600), driver).await.expect("it was noticed");
        assert_eq!(silent_since.elapsed().as_secs(), (PING_AFTER + PING_TIMEOUT).as_secs());
    }
}
