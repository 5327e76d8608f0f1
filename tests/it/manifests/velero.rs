//! Installs of Velero.

pub const FACTS: &[&str] = &[
    include_str!("facts/velero/install-v1.18.1.json"),
    include_str!("facts/velero/install-v1.14.1.json"),
    include_str!("facts/velero/chart-12.1.0.json"),
    include_str!("facts/velero/chart-7.2.2.json"),
];
