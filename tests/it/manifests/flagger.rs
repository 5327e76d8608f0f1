//! Installs of Flagger.

pub const FACTS: &[&str] = &[
    include_str!("facts/flagger/chart-1.44.0.json"),
    include_str!("facts/flagger/kustomize-v1.38.0.json"),
    include_str!("facts/flagger/kustomize-v1.44.0-istio.json"),
    include_str!("facts/flagger/kustomize-v1.44.0.json"),
];
