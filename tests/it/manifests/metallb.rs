//! Installs of MetalLB.

pub const FACTS: &[&str] = &[
    include_str!("facts/metallb/chart-0.16.1.json"),
    include_str!("facts/metallb/frr-k8s-v0.16.1.json"),
    include_str!("facts/metallb/native-v0.15.3.json"),
    include_str!("facts/metallb/native-v0.16.1.json"),
];
