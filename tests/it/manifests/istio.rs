//! Installs of Istio.

pub const FACTS: &[&str] = &[
    include_str!("facts/istio/charts-1.22.8.json"),
    include_str!("facts/istio/charts-1.29.6.json"),
    include_str!("facts/istio/charts-1.29.6-revisions.json"),
    include_str!("facts/istio/charts-remote.json"),
    include_str!("facts/istio/istioctl-1.22.8.json"),
    include_str!("facts/istio/istioctl-1.29.6.json"),
];
