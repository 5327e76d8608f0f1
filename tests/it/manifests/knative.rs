//! Installs of Knative Serving.

pub const FACTS: &[&str] = &[
    include_str!("facts/knative/chart-operator-v1.22.1.json"),
    include_str!("facts/knative/serving-v1.20.3.json"),
    include_str!("facts/knative/serving-v1.22.1.json"),
];
