//! State of a connection, for both protocols: its cluster, the commands it has seen, and response headers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{Response, StatusCode};
use tokio::sync::watch;

use super::body::Body;
use super::cluster::{Cluster, CommandCounters};
use super::fleet::Fleet;
use super::watch::Watch;
use super::wire::Link;

/// One accepted connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) fleet: Arc<Fleet>,
    pub(super) number: u32,
    pub(super) link: Arc<Link>,
    /// Command counters last seen.
    pub(super) commands: CommandCounters,
    pub(super) changes: watch::Receiver<()>,
}

/// A command for the driver of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Continue,
    EndWatches,
    GoAway,
    Close,
}

impl Connection {
    /// Returns `None` if there is no such cluster.
    pub(super) fn new(fleet: Arc<Fleet>, number: u32, link: Arc<Link>) -> Option<Self> {
        let cluster = fleet.cluster(number)?;
        let (commands, changes) = (cluster.state().commands, cluster.changes());
        Some(Self { fleet, number, link, commands, changes })
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.fleet.clusters[self.number as usize]
    }

    /// Applies new commands; returns the one left to the driver.
    pub(super) fn take_commands(&mut self) -> Command {
        let now = self.cluster().state().commands;
        let before = std::mem::replace(&mut self.commands, now);
        if now.reset != before.reset {
            self.link.reset();
        }
        if now.silence != before.silence {
            self.link.silence();
        }
        match () {
            () if now.close != before.close || now.reset != before.reset => Command::Close,
            () if now.go_away != before.go_away => Command::GoAway,
            () if now.end_watches != before.end_watches => Command::EndWatches,
            () => Command::Continue,
        }
    }
}

/// Headers of a response; without a body, those of a watch.
pub(super) fn headers(body: Option<&Body>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = body.map_or(StatusCode::OK, |body| body.status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    if let Some(body) = body {
        headers.insert(CONTENT_LENGTH, body.len().into());
        if let Some(wait) = body.retry_after {
            headers.insert(RETRY_AFTER, wait.as_secs().into());
        }
    }
    response
}

/// A watch, counted as open until dropped.
pub(super) struct OpenWatch {
    pub(super) watch: Watch,
    fleet: Arc<Fleet>,
    number: u32,
}

impl OpenWatch {
    pub(super) fn new(watch: Watch, connection: &Connection) -> Self {
        connection.cluster().counters.open_watches.fetch_add(1, Relaxed);
        Self { watch, fleet: connection.fleet.clone(), number: connection.number }
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.fleet.clusters[self.number as usize].counters.open_watches.fetch_sub(1, Relaxed);
    }
}
