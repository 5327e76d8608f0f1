//! One thing that is asked of a target.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

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

pub(super) enum Job {
    Ask(Query),
    /// A list and its watch in one, where the target has it.
    Follow(Query),
    /// Of a list that was made; from this resourceVersion on.
    Watch(Query, String),
}

pub(super) enum Done {
    Found(Found),
    Followed(Followed),
    Watch(WatchReply),
}

pub(super) enum WatchReply {
    Open(Http2Body),
    Forbidden,
    /// The resourceVersion is too old.
    Gone,
    Broken,
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
            Self::Follow(query) => {
                let done = match stream_list(channel, &query, limits, deadline).await {
                    Ok(Some(followed)) => Ok(Done::Followed(followed)),
                    Ok(None) => list::ask(channel, &query, limits, deadline).await.map(Done::Found),
                    Err(fault) => Err(fault),
                };
                (query, done)
            }
            Self::Watch(query, version) => {
                let reply = open_watch(channel, &query, &version, limits, deadline).await;
                (query, reply.map(Done::Watch))
            }
        }
    }
}

/// `None`: it has to be asked for, and that answer says what is wrong if anything is.
async fn stream_list(
    channel: &Channel,
    query: &Query,
    limits: &Limits,
    deadline: Instant,
) -> Result<Option<Followed>, Fault> {
    let Query::List { kind, namespace } = query else { return Ok(None) };
    if !channel.may_stream_lists() || !list::has_possible_name(query) {
        return Ok(None);
    }
    let patience = deadline.min(Instant::now() + LIST_PATIENCE);
    match list::watch(channel, *kind, namespace, None, limits, patience).await {
        Ok(Ok(body)) => {
            let mut followed = Followed::streamed(*kind, body);
            if timeout_at(patience, followed.listed(limits)).await == Ok(true) {
                return Ok(Some(followed));
            }
        }
        // Of this list alone.
        Ok(Err(Refused::Forbidden)) => return Ok(None),
        Ok(Err(Refused::NotFound | Refused::Gone)) => {}
        // 422 says that it isn't known, and what a proxy makes of it may be anything.
        Err(fault) => match fault.failure.reason {
            Reason::TimedOut | Reason::InvalidAnswer | Reason::ServerError => {}
            _ => return Err(fault),
        },
    }
    channel.give_up_streamed_lists();
    Ok(None)
}

async fn open_watch(
    channel: &Channel,
    query: &Query,
    version: &str,
    limits: &Limits,
    deadline: Instant,
) -> Result<WatchReply, Fault> {
    let Query::List { kind, namespace } = query else { return Ok(WatchReply::Broken) };
    let patience = deadline.min(Instant::now() + WATCH_PATIENCE);
    match list::watch(channel, *kind, namespace, Some(version), limits, patience).await {
        Ok(Ok(body)) => Ok(WatchReply::Open(body)),
        Ok(Err(Refused::Forbidden)) => Ok(WatchReply::Forbidden),
        Ok(Err(Refused::Gone)) => Ok(WatchReply::Gone),
        Ok(Err(Refused::NotFound)) => Ok(WatchReply::Broken),
        Err(fault) => match fault.failure.reason {
            // It lists and doesn't watch.
            Reason::TimedOut | Reason::InvalidAnswer if Instant::now() < deadline => Ok(WatchReply::Broken),
            _ => Err(fault),
        },
    }
}
