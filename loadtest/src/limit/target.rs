//! One target of the baseline, in one task: connects, lists, watches, and reconnects when the connection breaks.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use rand::Rng;
use simulator::Address;
use tokio::time::{sleep, timeout};

use super::transport::{Sender, connect};
use super::{LimitError, Shared};

/// Before reconnecting, with jitter.
const RETRY_DELAY: Duration = Duration::from_secs(5);

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json";

/// Annotation of the bookmark that ends a streamed list.
const END_OF_LIST: &[u8] = b"k8s.io/initial-events-end";

struct Target {
    shared: Arc<Shared>,
    sender: Sender,
    authorization: String,
    authority: String,
    watch_seconds: u64,
}

/// An open watch and the resourceVersion from which the next one resumes.
struct Watching {
    path: usize,
    body: Incoming,
    version: String,
}

pub(super) async fn keep(shared: Arc<Shared>, address: Address) {
    let mut was_watched = false;
    loop {
        let Err(_) = run_connection(&shared, &address, &mut was_watched).await;
        shared.progress.failures.fetch_add(1, Relaxed);
        let pause = RETRY_DELAY.mul_f64(rand::rng().random_range(0.5..1.5));
        sleep(pause).await;
    }
}

async fn run_connection(
    shared: &Arc<Shared>,
    address: &Address,
    was_watched: &mut bool,
) -> Result<std::convert::Infallible, LimitError> {
    let (sender, driver) = connect(shared, address).await?;
    shared.progress.connected.fetch_add(1, Relaxed);
    let target = Target {
        shared: shared.clone(),
        sender,
        authorization: format!("Bearer {}", address.token),
        authority: format!("{}:{}", address.host, address.port),
        watch_seconds: rand::rng().random_range(300..=600),
    };
    let work = target.work(was_watched);
    tokio::select! {
        ended = driver => Err(ended.err().map_or_else(|| "closed".into(), LimitError::from)),
        failed = work => failed,
    }
}

impl Target {
    async fn work(&self, was_watched: &mut bool) -> Result<std::convert::Infallible, LimitError> {
        let requests = self.shared.settings.requests;
        let named = (0..self.shared.named.len()).map(|path| self.read(&self.shared.named[path], METADATA));
        stream::iter(named).buffer_unordered(requests).try_collect::<Vec<_>>().await?;
        let listed = (0..self.shared.listed.len()).map(|path| self.list_and_watch(path));
        let mut watches: Vec<Watching> = stream::iter(listed).buffer_unordered(requests).try_collect().await?;
        if !std::mem::replace(was_watched, true) {
            self.shared.progress.watched.fetch_add(1, Relaxed);
        }
        let mut round = 0;
        loop {
            let pause = self.shared.settings.interval.mul_f64(rand::rng().random_range(0.9..1.1));
            let mut pause = std::pin::pin!(sleep(pause));
            loop {
                let ended = poll_fn(|cx| match pause.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => self.poll_watches(&mut watches, cx).map(Some),
                });
                let Some(ended) = ended.await else { break };
                let Watching { path, version, .. } = watches.swap_remove(ended);
                watches.push(self.watch(path, &version).await?);
            }
            self.read(&self.shared.listed[round % self.shared.listed.len()], "application/json").await?;
            self.read(&self.shared.named[round % self.shared.named.len()], METADATA).await?;
            round += 1;
        }
    }

    /// Opens a watch that begins with a list, and reads the list to its end.
    async fn list_and_watch(&self, path: usize) -> Result<Watching, LimitError> {
        let begin = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        let mut watching = self.open(path, begin).await?;
        timeout(REQUEST_TIMEOUT, async {
            let mut list = Vec::new();
            while let Some(frame) = watching.body.frame().await {
                let Ok(data) = frame?.into_data() else { continue };
                self.shared.progress.bytes.fetch_add(data.len() as u64, Relaxed);
                list.extend_from_slice(&data);
                let lines = list.strip_suffix(b"\n").unwrap_or_default();
                let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
                if last.windows(END_OF_LIST.len()).any(|window| window == END_OF_LIST) {
                    watching.version = version_in(last).unwrap_or_default();
                    return Ok(watching);
                }
            }
            Err("a list ended before it was complete".into())
        })
        .await?
    }

    async fn watch(&self, path: usize, version: &str) -> Result<Watching, LimitError> {
        let watching = self.open(path, &format!("resourceVersion={version}")).await?;
        Ok(Watching { version: version.to_owned(), ..watching })
    }

    async fn open(&self, path: usize, from: &str) -> Result<Watching, LimitError> {
        let listed = &self.shared.listed[path];
        let seconds = self.watch_seconds;
        let query = format!("{listed}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&{from}");
        let response = self.request(&query, "application/json").await?;
        if !response.status().is_success() {
            return Err(format!("{listed}: {}", response.status()).into());
        }
        Ok(Watching { path, body: response.into_body(), version: String::new() })
    }

    /// Reads a body to its end, whatever the status, and returns its first frame.
    async fn read(&self, path: &str, accept: &'static str) -> Result<Bytes, LimitError> {
        timeout(REQUEST_TIMEOUT, async {
            let mut body = self.request(path, accept).await?.into_body();
            let mut first = Bytes::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame?.into_data() else { continue };
                self.shared.progress.bytes.fetch_add(data.len() as u64, Relaxed);
                if first.is_empty() {
                    first = data;
                }
            }
            Ok(first)
        })
        .await?
    }

    async fn request(&self, path: &str, accept: &'static str) -> Result<Response<Incoming>, LimitError> {
        let request = Request::get(format!("https://{}{path}", self.authority))
            .header("accept", accept)
            .header("authorization", &self.authorization)
            .body(Empty::new())?;
        Ok(timeout(REQUEST_TIMEOUT, self.sender.clone().send_request(request)).await??)
    }

    /// The index of a watch that has ended. Polls all watches, which is cheaper than a waker per watch.
    fn poll_watches(&self, watches: &mut [Watching], cx: &mut Context<'_>) -> Poll<usize> {
        for (place, watching) in watches.iter_mut().enumerate() {
            while let Poll::Ready(frame) = Pin::new(&mut watching.body).poll_frame(cx) {
                let Some(Ok(frame)) = frame else { return Poll::Ready(place) };
                let Ok(data) = frame.into_data() else { continue };
                self.shared.progress.events.fetch_add(1, Relaxed);
                self.shared.progress.bytes.fetch_add(data.len() as u64, Relaxed);
                if let Some(version) = version_in(&data) {
                    watching.version = version;
                }
            }
        }
        Poll::Pending
    }
}

/// The first resourceVersion in the bytes: that of a list, a bookmark or an event's object.
fn version_in(bytes: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"resourceVersion\":\"";
    let start = bytes.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).copied().collect();
    String::from_utf8(digits).ok().filter(|digits| !digits.is_empty())
}
