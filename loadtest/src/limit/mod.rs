//! The bare-transport baseline: ksit's connections and watches with plain hyper and rustls. Its memory, CPU and time
//! are a lower bound for any program on this transport.
//!
//! ```text
//! addresses ─> one task per target: connect (128 at a time) ─> 8 CRDs ─> 15 watches that begin with a list, read and
//!                                                                        discarded; a list and a CRD per interval
//! ```

mod progress;
mod target;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use simulator::{Addresses, requested_paths};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

pub use progress::Progress;

pub(crate) type LimitError = Box<dyn std::error::Error + Send + Sync>;

/// Settings of the baseline.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Interval between liveness requests to a target.
    pub interval: Duration,
    /// Concurrent connects and handshakes.
    pub connects: usize,
    /// Concurrent requests to one target, not counting watches.
    pub requests: usize,
}

impl Default for Settings {
    /// Same as ksit's defaults.
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), connects: 128, requests: 2 }
    }
}

/// State shared by all targets.
struct Shared {
    settings: Settings,
    tls: TlsConnector,
    server_name: ServerName<'static>,
    listed: Vec<String>,
    named: Vec<String>,
    connect_permits: Semaphore,
    progress: Arc<Progress>,
}

/// The running baseline. Dropping it ends all connections.
pub struct Limit {
    progress: Arc<Progress>,
    _tasks: JoinSet<()>,
}

impl Limit {
    /// Starts with all targets at once.
    pub fn start(addresses: Addresses, settings: Settings) -> Result<Self, LimitError> {
        let (listed, named) = requested_paths();
        let progress = Arc::new(Progress::new(addresses.targets.len()));
        let shared = Arc::new(Shared {
            connect_permits: Semaphore::new(settings.connects),
            tls: transport::tls(&addresses.ca)?,
            server_name: ServerName::try_from(addresses.server_name)?,
            settings,
            listed,
            named,
            progress: progress.clone(),
        });
        let mut tasks = JoinSet::new();
        for address in addresses.targets {
            tasks.spawn(target::keep(shared.clone(), address));
        }
        Ok(Self { progress, _tasks: tasks })
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Waits until every target is listed and watched; calls `report` with the progress once a second.
    pub async fn until_complete(&self, mut report: impl FnMut(&Progress)) -> Duration {
        let start = Instant::now();
        let mut reported = start;
        while !self.progress.is_complete() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if reported.elapsed() >= Duration::from_secs(1) {
                reported = Instant::now();
                report(&self.progress);
            }
        }
        start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simulator::{Fault, Simulator};

    async fn eventually(is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < end, "timed out");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn each_target_has_one_connection_and_all_its_watches() {
        let simulator = Simulator::start(5).await.unwrap();
        let settings = Settings { interval: Duration::from_millis(100), ..Settings::default() };
        let limit = Limit::start(simulator.addresses(), settings).unwrap();
        limit.until_complete(|_| {}).await;
        let counts = simulator.counts();
        assert_eq!((counts.accepted, counts.open), (5, 5));
        assert_eq!((counts.lists, counts.named, counts.watches, counts.open_watches), (75, 40, 0, 75));
        simulator.break_first(1);
        eventually(|| limit.progress().events() >= 1).await;
        eventually(|| simulator.counts().lists > counts.lists + 20).await;
        simulator.end_watches(2);
        eventually(|| simulator.counts_of(2).watches == 15).await;
        assert_eq!(simulator.counts().accepted, 5);
        simulator.close(3);
        eventually(|| simulator.counts_of(3).accepted == 2 && simulator.counts_of(3).open_watches == 15).await;
        simulator.inject(4, Some(Fault::HangInTls));
        eventually(|| simulator.counts_of(4).accepted == 2).await;
        drop(limit);
        eventually(|| simulator.counts().open == 0).await;
    }
}
