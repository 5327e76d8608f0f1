//! Installs of KEDA.

pub const FACTS: &[&str] = &[
    include_str!("facts/keda/install-v2.20.2.json"),
    include_str!("facts/keda/install-v2.14.1.json"),
    include_str!("facts/keda/chart-2.20.2.json"),
];
