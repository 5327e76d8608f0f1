//! One thing that is asked of a target: a list, a watch, or both, one after the other.

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

/// What is to be asked.
pub(super) struct Job {
    pub query: Query,
    /// List it; else its watch goes on from where it was.
    pub list: bool,
    pub watch_from: Option<String>,
    pub watch: bool,
}

pub(super) enum Done {
    Found(Found, Option<WatchReply>),
    Watch(WatchReply),
}

pub(super) enum WatchReply {
    Open(Http2Body),
    Forbidden,
    /// The resourceVersion is too old.
    Gone,
    Broken,
}

pub(super) async fn do_job(channel: &Channel, job: &Job, limits: &Limits, deadline: Instant) -> Result<Done, Fault> {
    if !job.list {
        let version = job.watch_from.as_deref().unwrap_or_default();
        return Ok(Done::Watch(open_watch(channel, &job.query, version, limits, deadline).await?));
    }
    let found = list::ask(channel, &job.query, limits, deadline).await?;
    let reply = match &found {
        Found::Objects(_, Some(version)) if job.watch => {
            match open_watch(channel, &job.query, version, limits, deadline).await? {
                // Too old a moment after the list: nobody could follow that.
                WatchReply::Gone => Some(WatchReply::Broken),
                reply => Some(reply),
            }
        }
        // A list of no version is none of an API server that has watches.
        Found::Objects(_, None) if job.watch => Some(WatchReply::Broken),
        _ => None,
    };
    Ok(Done::Found(found, reply))
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
