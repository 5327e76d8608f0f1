//! Tests simulated clusters with a plain hyper client over real TLS.

mod client;
mod faults;
mod requests;
mod watches;

use std::time::Duration;

use client::Client;

use super::{Fault, Health, Kind, Settings, Simulator};

const FLUX: &str = "/apis/apps/v1/namespaces/flux-system/deployments";
const ARGOCD: &str = "/apis/apps/v1/namespaces/argocd/deployments";

/// Much longer than loopback takes.
const SOON: Duration = Duration::from_secs(5);

/// Long enough to conclude that nothing arrives.
const WHILE: Duration = Duration::from_millis(200);
