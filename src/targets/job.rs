//! One thing that is asked of a target.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::entry::Followed;
use super::fault::{Fault, Refused};
use super::http::Channel;
use super::http2::Http2Body;
use super::limits::Limits;
use super::list::{self, Found};
use crate::domain::reason::Reason;
use crate::domain::snapshot::Query;

/// Headers of a watch come at once; what holds them back has no watch to offer.
const WATCH_PATIENCE: Duration = Duration::from_secs(5);

/// For a list that comes as a stream; then there is time left to ask for it, and to open a watch.
const LIST_PATIENCE: Duration = Duration::from_secs(3);

/// Until a watch that was refused is tried again: an API server that has just started has lists before it has watches.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

pub(super) enum Job {
    Ask(Query),
    /// The same for a list that is watched, to be compared with what the watch brings.
    Confirm(Query),
    /// A list and its watch in one, where the target has it.
    Follow(Query),
    /// Of a list that was made; from this resourceVersion on.
    Watch(Query, String),
}

pub(super) enum Done {
    Found(Found),
    Listed(Found),
    Followed(Followed),
    Watch(WatchReply),
    /// It lists and doesn't watch.
    Unwatched(Found),
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
            Self::Ask(query) => {
                let found = list::ask(channel, &query, limits, deadline).await;
                (query, found.map(Done::Found))
            }
            Self::Confirm(query) => {
                let found = list::ask(channel, &query, limits, deadline).await;
                (query, found.map(Done::Listed))
            }
            Self::Follow(query) => {
                let done = match stream_list(channel, &query, limits, deadline).await {
                    Some(followed) => Ok(Done::Followed(followed)),
                    None => list::ask(channel, &query, limits, deadline).await.map(Done::Found),
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

/// `None`: it has to be asked for, and that answer says what is wrong if anything is.
async fn stream_list(channel: &Channel, query: &Query, limits: &Limits, deadline: Instant) -> Option<Followed> {
    let Query::List { kind, namespace } = query else { return None };
    if !channel.may_stream_lists() || !list::has_possible_name(query) {
        return None;
    }
    let patience = patience(LIST_PATIENCE, deadline);
    match list::watch(channel, *kind, namespace, None, limits, patience).await {
        Ok(Ok(body)) => {
            let mut followed = Followed::streamed(*kind, body);
            if timeout_at(patience, followed.listed(limits)).await == Ok(true) {
                return Some(followed);
            }
        }
        // Of this list alone.
        Ok(Err(Refused::Forbidden)) => return None,
        // 422 says that it isn't known, and what a proxy makes of it may be anything.
        Ok(Err(Refused::NotFound | Refused::NoSuchPath | Refused::Gone)) | Err(_) => {}
    }
    channel.give_up_streamed_lists();
    None
}

/// A target whose watch does not open is at fault only if it doesn't list either.
async fn open_watch(
    channel: &Channel,
    query: &Query,
    version: &str,
    limits: &Limits,
    deadline: Instant,
) -> Result<Done, Fault> {
    if let Query::List { kind, namespace } = query {
        let patience = patience(WATCH_PATIENCE, deadline);
        loop {
            match list::watch(channel, *kind, namespace, Some(version), limits, patience).await {
                Ok(Ok(body)) => return Ok(Done::Watch(WatchReply::Open(body))),
                Ok(Err(Refused::Forbidden)) => return Ok(Done::Watch(WatchReply::Forbidden)),
                Ok(Err(Refused::Gone)) => return Ok(Done::Watch(WatchReply::Gone)),
                Ok(Err(Refused::NotFound | Refused::NoSuchPath)) => break,
                Err(fault) if !may_pass(fault.failure.reason) || Instant::now() + REFUSED_PAUSE >= patience => break,
                Err(_) => {
                    list::ask(channel, query, limits, deadline).await?;
                    sleep(REFUSED_PAUSE).await;
                }
            }
        }
    }
    list::ask(channel, query, limits, deadline).await.map(Done::Unwatched)
}

fn may_pass(reason: Reason) -> bool {
    matches!(reason, Reason::ServerError | Reason::Throttled)
}

/// At most so long, and time is left for what has to be asked in its place.
fn patience(most: Duration, deadline: Instant) -> Instant {
    let now = Instant::now();
    now + most.min(deadline.saturating_duration_since(now) / 2)
}
