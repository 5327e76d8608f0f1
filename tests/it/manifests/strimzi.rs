//! Installs of Strimzi.

pub const FACTS: &[&str] = &[
    include_str!("facts/strimzi/chart-1.1.0.json"),
    include_str!("facts/strimzi/install-0.45.0.json"),
    include_str!("facts/strimzi/install-1.1.0.json"),
];
