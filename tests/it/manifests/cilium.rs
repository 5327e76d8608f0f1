//! Installs of Cilium.

pub const FACTS: &[&str] = &[
    include_str!("facts/cilium/install-v1.17.7.json"),
    include_str!("facts/cilium/install-v1.13.0-hubble.json"),
    include_str!("facts/cilium/chart-v1.17.7.json"),
];
