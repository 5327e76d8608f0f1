//! Installs of Linkerd.

pub const FACTS: &[&str] = &[
    include_str!("facts/linkerd/install-2.20.json"),
    include_str!("facts/linkerd/install-2.15.json"),
    include_str!("facts/linkerd/charts-2.20-ha.json"),
];
