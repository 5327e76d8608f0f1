//! Everything that talks to a target cluster.
//!
//! ```text
//! bytes of a Secret ─ kubeconfig::vet ─> Connection ─ ClusterManager ─> Cluster ─ read ─> Snapshot
//!                     (refuses by name)  (typed,       (one owner for           (one connection, each query once,
//!                                         rebuilt)      each target)             caps and deadlines on everything)
//! ```
//!
//! What a kubeconfig or a cluster says is hostile until checked: no byte of it goes into a message.

mod address;
mod cluster;
mod connection;
mod dial;
mod http;
mod kubeconfig;
mod list;
mod manager;

pub use address::Policy;
pub use cluster::{Cluster, Limits};
pub use connection::{Connection, Credential};
pub use kubeconfig::vet;
pub use manager::ClusterManager;
