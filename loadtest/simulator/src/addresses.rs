//! Addresses of the simulated clusters, serialized for other programs.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// All clusters of one simulator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// The CA of all clusters, as PEM.
    pub ca: String,
    /// The DNS name in their certificate.
    pub server_name: String,
    /// In the order of the clusters' numbers.
    pub targets: Vec<Address>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// A loopback address (127.a.b.c), different for each cluster.
    pub host: Ipv4Addr,
    /// The same for all clusters.
    pub port: u16,
    /// A bearer token that the cluster accepts.
    pub token: String,
}
