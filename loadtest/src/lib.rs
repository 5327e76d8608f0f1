//! Runs real Kubernetes control planes on this machine for ksit's tests, demo and load tests.
//!
//! ```text
//! tools (Go modules, built once into a cache) ─> Process ─┐
//! Pki (one CA per plane) ─────────────────────────────────┴─> ControlPlane ─> client, kubeconfigs, audit log
//! ```
//!
//! etcd, kube-apiserver and their companions are the real programs; only the kubelet is simulated, by kwok. Every
//! process ends with its owner, even if the owner is killed.

pub mod audit;
pub mod checker;
pub mod cli;
mod control_plane;
pub mod demo;
pub mod division;
pub mod e2e;
pub mod faulty_hub;
pub mod faulty_proxy;
pub mod image;
pub mod installation;
pub mod kind;
mod kubeconfig;
pub mod limit;
mod pki;
mod process;
mod resources;
pub mod run;
pub mod simulator;
pub mod table;
mod tools;
pub mod truth;
pub mod usage;
pub mod workloads;

pub use control_plane::{Builder, ControlPlane, StartError};
pub use process::{Process, ProcessError};
pub use tools::{Tool, ToolError};
