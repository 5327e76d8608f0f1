//! Settings of the simulated API servers.

use std::ops::Range;
use std::time::Duration;

/// The defaults match a real API server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Interval of a watch's bookmarks. Each watch has its own phase.
    pub bookmarks: Duration,
    /// Random lifetime of a watch without `timeoutSeconds`.
    pub watch_ends: Range<Duration>,
    /// Maximum age of a resourceVersion from which a watch can resume; etcd is compacted every five minutes.
    pub history: Duration,
    /// Events kept per cluster; an open watch that lags further behind gets 410.
    pub events: usize,
    /// Whether HTTP/2 is offered in addition to HTTP/1.1.
    pub http2: bool,
    /// Whether `sendInitialEvents=true` is supported (Kubernetes 1.34 and some earlier versions).
    pub streaming_lists: bool,
    /// Bytes sent by [`super::Fault::OversizedBody`] and [`super::Fault::OversizedLine`].
    pub oversized_bytes: u64,
    /// Bytes per second of [`super::Fault::SlowBody`].
    pub slow_bytes: usize,
    /// `Retry-After` of [`super::Fault::TooManyRequests`].
    pub retry_after: Duration,
    /// Applications, and as many Kustomizations, on each cluster.
    pub managed: u16,
    /// Connections allowed by [`super::Fault::ConnectionLimit`].
    pub connections: u32,
}

impl Default for Settings {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            bookmarks: MINUTE,
            watch_ends: 30 * MINUTE..60 * MINUTE,
            history: 5 * MINUTE,
            events: 1024,
            http2: true,
            streaming_lists: true,
            oversized_bytes: 300 * 1024 * 1024,
            slow_bytes: 1024,
            retry_after: MINUTE,
            managed: 0,
            connections: 1,
        }
    }
}
