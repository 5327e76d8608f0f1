//! Installs of Gatekeeper.

pub const FACTS: &[&str] = &[
    include_str!("facts/gatekeeper/install-v3.23.0.json"),
    include_str!("facts/gatekeeper/install-v3.17.2.json"),
    include_str!("facts/gatekeeper/chart-v3.23.0.json"),
];
