//! Runs real Kubernetes control planes and installations of ksit on this machine, for tests, demo and load tests.
//!
//! ```text
//! tools (Go modules, built once into a cache) ─> Process ─┐
//! Pki (one CA per plane) ─────────────────────────────────┴─> ControlPlane ─> client, kubeconfigs, audit log
//!                                                                  ▲
//!                       Installation (replicas as processes) ──────┴── directly, by FaultyProxy or by FaultyHub
//! ```
//!
//! etcd, kube-apiserver and their companions are the real programs; only the kubelet is simulated, by kwok. Every
//! process ends with its owner, even if the owner is killed.
//!
//! Must not know simulated clusters, scenarios and measures, nor the code of ksit: only its command line and its
//! resources.

#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod audit;
pub mod command;
mod control_plane;
pub mod crds;
pub mod division;
pub mod faulty_hub;
pub mod faulty_proxy;
pub mod forward_proxy;
pub mod installation;
pub mod kind;
pub mod kubeconfig;
pub mod pki;
pub mod port;
mod process;
pub mod resources;
pub mod serve;
mod tools;
pub mod usage;
pub mod workloads;

pub use control_plane::{Builder, ControlPlane, StartError};
pub use process::Process;
pub use tools::Tool;
