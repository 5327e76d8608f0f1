//! One thing that is asked of a target.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::{Fault, Refused};
use super::http::Channel;
use super::http2::Http2Body;
use super::limits::Limits;
use super::list::{self, Found};
use crate::domain::reason::Reason;
use crate::domain::snapshot::Query;

/// Headers of a watch come at once; what holds them back has no watch to offer.
const WATCH_PATIENCE: Duration = Duration::from_secs(5);

pub(super) enum Job {
    Ask(Query),
    /// Of a list that was made; from this resourceVersion on.
    Watch(Query, String),
}

pub(super) enum Done {
    Found(Found),
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
            Self::Watch(query, version) => {
                let reply = open_watch(channel, &query, &version, limits, deadline).await;
                (query, reply.map(Done::Watch))
            }
        }
    }
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
    match list::watch(channel, *kind, namespace, version, limits, patience).await {
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
