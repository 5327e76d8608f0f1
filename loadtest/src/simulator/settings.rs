//! How the simulated API servers behave where real ones differ.

use std::ops::Range;
use std::time::Duration;

/// The defaults are a real API server's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between two bookmarks of a watch. Each watch has its own phase.
    pub bookmarks: Duration,
    /// How long a watch lives that asks for no `timeoutSeconds`: any time of these.
    pub watch_ends: Range<Duration>,
    /// A watch can be resumed from a resourceVersion that is not older; etcd forgets after five minutes.
    pub history: Duration,
    /// Events kept of each cluster; an open watch that lags behind further gets 410.
    pub events: usize,
    /// Whether HTTP/2 is spoken too, or HTTP/1.1 alone.
    pub http2: bool,
    /// Whether `sendInitialEvents=true` is known (Kubernetes 1.34 and some before).
    pub streaming_lists: bool,
    /// What is sent by [`super::Fault::GiantBody`] and [`super::Fault::GiantLine`].
    pub giant_bytes: u64,
    /// What is sent in a second by [`super::Fault::SlowBody`].
    pub slow_bytes: usize,
    /// What [`super::Fault::TooManyRequests`] asks for.
    pub retry_after: Duration,
    /// Connections that [`super::Fault::ConnectionLimit`] leaves.
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
            giant_bytes: 300 * 1024 * 1024,
            slow_bytes: 1024,
            retry_after: MINUTE,
            connections: 1,
        }
    }
}
