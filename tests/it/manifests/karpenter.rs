//! Installs of Karpenter.

pub const FACTS: &[&str] = &[
    include_str!("facts/karpenter/chart-v1.14.1.json"),
    include_str!("facts/karpenter/helm-v1.14.1.json"),
    include_str!("facts/karpenter/helm-v1.6.0.json"),
];
