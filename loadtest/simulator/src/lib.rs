//! Simulates thousands of API servers in one process, more than one machine could run for real. Each has the components
//! of five tools and answers only the requests that ksit makes, over real TLS.
//!
//! ```text
//!                       set, inject, rotate (control)
//!                                │
//! listener ─> wire ─> TLS ─> http2, http1 ─> answer ─> Cluster (its differences) + Catalogue (shared objects)
//! 127.a.b.c   delay          one task per                └─> history ─> open watches
//!             silence        connection
//! ```
//!
//! One listener serves all clusters; the dialled loopback address (127.a.b.c) selects the cluster.
//!
//! Must not know ksit, beyond the requests that it makes, nor the load tests: no hub, no replicas, no scenarios.

#![warn(missing_docs, clippy::missing_errors_doc)]

mod addresses;
mod answer;
mod body;
mod catalogue;
pub mod cli;
mod cluster;
mod connection;
mod control;
mod counts;
mod discovery;
mod fault;
mod fleet;
mod hostile;
mod http1;
mod http2;
mod list;
mod listener;
mod request;
mod settings;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use testkit::kubeconfig::{Credential, kubeconfig};
use testkit::pki::Pki;
use tokio::task::JoinSet;

pub use addresses::{Address, Addresses};
pub use catalogue::{Component, ComponentId, Health, Kind, Manifest, manifests};
pub use counts::Counts;
pub use fault::Fault;
pub use settings::Settings;

use fleet::{Fleet, token};
use listener::Listener;

/// The paths that the five integrations list and watch, and the objects that they get.
pub fn requested_paths() -> (Vec<String>, Vec<String>) {
    catalogue::Catalogue::requested_paths()
}

type SimulatorError = Box<dyn std::error::Error + Send + Sync>;

/// Address of cluster 0; the others are consecutive.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

/// DNS name in the shared certificate.
const SERVER_NAME: &str = "localhost";

/// The running simulator. Dropping it ends all clusters.
pub struct Simulator {
    port: u16,
    ca_pem: String,
    fleet: Arc<Fleet>,
    _tasks: JoinSet<()>,
}

impl Simulator {
    /// Starts `count` healthy clusters that behave like real ones.
    ///
    /// # Errors
    /// Fails if no port is free on loopback or a certificate can't be issued.
    pub async fn start(count: u32) -> Result<Self, SimulatorError> {
        Self::with(count, Settings::default()).await
    }

    /// Like [`Self::start`], with other settings than a real API server's.
    ///
    /// # Errors
    /// Fails if no port is free on loopback or a certificate can't be issued.
    #[expect(clippy::unused_async, reason = "must be called within a runtime, which a plain function would not show")]
    pub async fn with(count: u32, settings: Settings) -> Result<Self, SimulatorError> {
        let (pki, stranger) = (Pki::new("simulated")?, Pki::new("stranger")?);
        let listener = listener::listen()?;
        let port = listener.local_addr()?.port();
        let tls = listener::tls(&pki.server("simulated")?, settings.http2)?;
        let wrong = listener::tls(&stranger.server("simulated")?, settings.http2)?;
        let fleet = Arc::new(Fleet::new(count, settings));
        let mut tasks = JoinSet::new();
        tasks.spawn(Listener { listener, tls, wrong, fleet: fleet.clone() }.run());
        Ok(Self { port, ca_pem: pki.ca_pem().to_owned(), fleet, _tasks: tasks })
    }

    /// Number of clusters.
    pub fn clusters(&self) -> u32 {
        self.fleet.clusters.len() as u32
    }

    /// Requests to all clusters so far.
    pub fn requests(&self) -> u64 {
        self.counts().requests()
    }

    /// Counts of all clusters together.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.fleet.clusters.iter().for_each(|cluster| all.add(&cluster.counters.read()));
        all
    }

    /// Counts of one cluster; zero if there is no such cluster.
    pub fn counts_of(&self, number: u32) -> Counts {
        self.fleet.cluster(number).map(|cluster| cluster.counters.read()).unwrap_or_default()
    }

    /// The longest time that any cluster has been without a request.
    pub fn longest_without_request(&self) -> Duration {
        let oldest =
            self.fleet.clusters.iter().map(|cluster| cluster.counters.last_request()).min().unwrap_or_default();
        self.fleet.began.elapsed().saturating_sub(oldest)
    }

    /// The kubeconfig of a cluster with its newest token.
    pub fn kubeconfig(&self, number: u32) -> String {
        let Address { host, port, token } = self.address(number);
        let text = kubeconfig("simulated", &format!("https://{host}:{port}"), &self.ca_pem, Credential::Token(&token));
        text.replacen("\"server\":", &format!("\"tls-server-name\":\"{SERVER_NAME}\",\"server\":"), 1)
    }

    /// Addresses of all clusters, for programs that need no kubeconfig.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            ca: self.ca_pem.clone(),
            server_name: SERVER_NAME.to_owned(),
            targets: (0..self.clusters()).map(|number| self.address(number)).collect(),
        }
    }

    /// The address of a cluster, with its newest token.
    pub fn address(&self, number: u32) -> Address {
        let rotations = self.fleet.cluster(number).map_or(0, |cluster| cluster.state().token);
        let host = Ipv4Addr::from(u32::from(FIRST) + number);
        Address { host, port: self.port, token: token(number, rotations) }
    }
}
