//! Installs of CloudNativePG.

pub const FACTS: &[&str] = &[
    include_str!("facts/cnpg/chart-0.29.0.json"),
    include_str!("facts/cnpg/release-1.25.1.json"),
    include_str!("facts/cnpg/release-1.30.0.json"),
];
