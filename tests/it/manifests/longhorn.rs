//! Installs of Longhorn.

pub const FACTS: &[&str] = &[
    include_str!("facts/longhorn/chart-v1.12.1.json"),
    include_str!("facts/longhorn/deploy-v1.12.1.json"),
    include_str!("facts/longhorn/deploy-v1.9.1.json"),
];
