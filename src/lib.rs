//! ksit watches the tools that run on many Kubernetes clusters, from one hub, and says on custom resources whether
//! they work.

pub mod api;
pub mod cli;
pub mod controllers;
pub mod domain;
pub mod hub;
pub mod observability;
pub mod targets;
