//! Response bodies that no honest server sends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::{Body, Bytes, Frame};

/// 300 MiB.
pub const FLOOD_BYTES: usize = 300 * 1024 * 1024;
const CHUNK: usize = 16 * 1024;

/// A body generated while it is sent.
pub struct FaultyBody {
    chunks: BoxStream<'static, io::Result<Bytes>>,
}

impl FaultyBody {
    pub fn text(text: String) -> Self {
        Self { chunks: stream::iter([Ok(Bytes::from(text))]).boxed() }
    }

    /// [`FLOOD_BYTES`] of a JSON text without an end; counts the bytes handed out.
    pub fn flood(sent: Arc<AtomicUsize>) -> Self {
        let chunk = Bytes::from(vec![b' '; CHUNK]);
        Self::counted(stream::repeat(chunk).take(FLOOD_BYTES / CHUNK).map(Ok), sent)
    }

    pub fn drip(sent: Arc<AtomicUsize>) -> Self {
        let chunks = stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(Bytes::from_static(b" "))
        });
        Self::counted(chunks, sent)
    }

    /// One chunk, a pause in which it arrives, and an error, which hyper turns into a reset.
    pub fn reset(sent: Arc<AtomicUsize>) -> Self {
        let broken = stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(io::Error::other("planted"))
        });
        Self::counted(stream::iter([Ok(Bytes::from_static(b"{"))]).chain(broken), sent)
    }

    fn counted(
        chunks: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static,
        sent: Arc<AtomicUsize>,
    ) -> Self {
        let count = move |chunk: &io::Result<Bytes>| {
            sent.fetch_add(chunk.as_ref().map_or(0, Bytes::len), Ordering::Relaxed);
        };
        Self { chunks: chunks.inspect(count).boxed() }
    }
}

impl Body for FaultyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.chunks.poll_next_unpin(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
