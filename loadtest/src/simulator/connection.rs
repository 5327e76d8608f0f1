//! What a connection of either protocol keeps: its cluster, what it was told, the headers of its answers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{Response, StatusCode};
use tokio::sync::watch;

use super::body::Body;
use super::cluster::{Cluster, Orders};
use super::fleet::Fleet;
use super::watch::Watch;
use super::wire::Link;

/// One accepted connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) fleet: Arc<Fleet>,
    pub(super) number: u32,
    pub(super) link: Arc<Link>,
    /// What was said to connections before this one.
    pub(super) orders: Orders,
    pub(super) changes: watch::Receiver<()>,
}

/// What the driver of a connection has to do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    GoOn,
    EndWatches,
    GoAway,
    Close,
}

impl Connection {
    /// `None`: no such cluster.
    pub(super) fn new(fleet: Arc<Fleet>, number: u32, link: Arc<Link>) -> Option<Self> {
        let cluster = fleet.cluster(number)?;
        let (orders, changes) = (cluster.state().orders, cluster.changes());
        Some(Self { fleet, number, link, orders, changes })
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.fleet.clusters[self.number as usize]
    }

    /// What was newly ordered.
    pub(super) fn obey(&mut self) -> Told {
        let now = self.cluster().state().orders;
        let before = std::mem::replace(&mut self.orders, now);
        if now.reset != before.reset {
            self.link.reset();
        }
        if now.silence != before.silence {
            self.link.silence();
        }
        match () {
            () if now.close != before.close || now.reset != before.reset => Told::Close,
            () if now.go_away != before.go_away => Told::GoAway,
            () if now.end_watches != before.end_watches => Told::EndWatches,
            () => Told::GoOn,
        }
    }
}

/// Headers of an answer; of a watch, if there is no body.
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

/// A watch that counts as open while it lives.
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
