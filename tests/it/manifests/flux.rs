//! Installs of Flux.

pub const FACTS: &[&str] = &[
    include_str!("facts/flux/chart-flux2-2.12.4.json"),
    include_str!("facts/flux/chart-flux2-2.18.3.json"),
    include_str!("facts/flux/install-source-watcher.json"),
    include_str!("facts/flux/install-v2.2.3.json"),
    include_str!("facts/flux/install-v2.6.4.json"),
];
