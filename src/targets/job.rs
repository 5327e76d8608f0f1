//! Runs one request to a target.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::entry::WatchedList;
use super::fault::{Fault, Refused};
use super::http::{Channel, Reply};
use super::http2::Http2Body;
use super::limits::Limits;
use super::list::{self, Found};
use super::listed::Listed;
use super::paths::has_valid_name;
use crate::domain::reason::Reason;
use crate::domain::snapshot::Query;

/// An API server sends the headers of a watch at once; a proxy that holds them back can't serve watches.
const WATCH_PATIENCE: Duration = Duration::from_secs(5);

/// Time for a streaming list, after which an ordinary list and a watch are tried.
const LIST_PATIENCE: Duration = Duration::from_secs(3);

/// Delay before a refused watch is retried: an API server that has just started serves lists before watches.
const RETRY_DELAY: Duration = Duration::from_secs(1);

pub(super) enum Job {
    Fetch(Query),
    /// The same for a watched list, to compare it with what the watch delivered.
    Confirm(Query),
    /// A streaming list (Kubernetes feature WatchList) if the target supports it, else an ordinary one.
    WatchList(Query),
    /// A watch of a cached list, from this resourceVersion on.
    Watch(Query, String),
}

pub(super) enum Done {
    Fetched(Found),
    Confirmed(Found),
    WatchList(WatchedList),
    Watch(WatchReply),
    /// The target lists, but doesn't watch.
    NotWatchable(Found),
}

pub(super) enum WatchReply {
    Open(Http2Body),
    Forbidden,
    /// The resourceVersion is too old.
    Gone,
}

impl Job {
    pub(super) async fn run(
        self,
        channel: &Channel,
        limits: &Limits,
        deadline: Instant,
    ) -> (Query, Result<Done, Fault>) {
        match self {
            Self::Fetch(query) => {
                let found = list::fetch(channel, &query, limits, deadline).await;
                (query, found.map(Done::Fetched))
            }
            Self::Confirm(query) => {
                let found = list::fetch(channel, &query, limits, deadline).await;
                (query, found.map(Done::Confirmed))
            }
            Self::WatchList(query) => {
                let done = match stream_list(channel, &query, limits, deadline).await {
                    Some(watched) => Ok(Done::WatchList(watched)),
                    None => list::fetch(channel, &query, limits, deadline).await.map(Done::Fetched),
                };
                (query, done)
            }
            Self::Watch(query, version) => {
                let done = open_watch(channel, &query, &version, limits, deadline).await;
                (query, done)
            }
        }
    }
}

/// `None`: fetch it as an ordinary list, whose response reports what is wrong, if anything.
async fn stream_list(channel: &Channel, query: &Query, limits: &Limits, deadline: Instant) -> Option<WatchedList> {
    let (listed, namespace) = Listed::of(query)?;
    if !channel.may_stream_lists() || !has_valid_name(query) {
        return None;
    }
    let patience = patience(LIST_PATIENCE, deadline);
    match list::watch(channel, &listed, namespace, None, limits, patience).await {
        Ok(Reply::Body(body)) => {
            let mut watched = WatchedList::streamed(listed, body);
            if timeout_at(patience, watched.listed(limits)).await == Ok(true) {
                return Some(watched);
            }
        }
        // Concerns this list only.
        Ok(Reply::Refused(Refused::Forbidden)) => return None,
        _ if matches!(query, Query::Managed(_)) => return None,
        // 422 means unsupported, but a proxy may respond with anything.
        Ok(Reply::Refused(Refused::NotFound | Refused::NoSuchPath | Refused::Gone)) | Err(_) => {}
    }
    channel.give_up_streamed_lists();
    None
}

/// A watch that does not open is a fault of the target only if the list fails too.
async fn open_watch(
    channel: &Channel,
    query: &Query,
    version: &str,
    limits: &Limits,
    deadline: Instant,
) -> Result<Done, Fault> {
    if let Some((listed, namespace)) = Listed::of(query) {
        let patience = patience(WATCH_PATIENCE, deadline);
        loop {
            match list::watch(channel, &listed, namespace, Some(version), limits, patience).await {
                Ok(Reply::Body(body)) => return Ok(Done::Watch(WatchReply::Open(body))),
                Ok(Reply::Refused(Refused::Forbidden)) => return Ok(Done::Watch(WatchReply::Forbidden)),
                Ok(Reply::Refused(Refused::Gone)) => return Ok(Done::Watch(WatchReply::Gone)),
                Ok(Reply::Refused(Refused::NotFound | Refused::NoSuchPath)) => break,
                Err(fault) if !is_retryable(fault.failure.reason) || Instant::now() + RETRY_DELAY >= patience => break,
                Err(_) => {
                    list::fetch(channel, query, limits, deadline).await?;
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }
    match query {
        // Its API alone may be at fault: it is polled like one that may not be watched.
        Query::Managed(_) => Ok(Done::Watch(WatchReply::Forbidden)),
        _ => list::fetch(channel, query, limits, deadline).await.map(Done::NotWatchable),
    }
}

fn is_retryable(reason: Reason) -> bool {
    matches!(reason, Reason::ServerError | Reason::Throttled)
}

/// The earlier of `max` from now and half of the time left: the fallback needs the other half.
fn patience(max: Duration, deadline: Instant) -> Instant {
    let now = Instant::now();
    now + max.min(deadline.saturating_duration_since(now) / 2)
}
