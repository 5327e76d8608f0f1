//! Installs of Prometheus.

pub const FACTS: &[&str] = &[
    include_str!("facts/prometheus/chart-bitnami-kube-prometheus-11.3.11.json"),
    include_str!("facts/prometheus/chart-kube-prometheus-stack-70.4.2.json"),
    include_str!("facts/prometheus/chart-kube-prometheus-stack-88.5.3.json"),
    include_str!("facts/prometheus/chart-prometheus-29.27.0-statefulset.json"),
    include_str!("facts/prometheus/chart-prometheus-29.27.0.json"),
    include_str!("facts/prometheus/chart-rancher-monitoring-104.1.2.json"),
    include_str!("facts/prometheus/kube-prometheus-v0.13.0.json"),
    include_str!("facts/prometheus/kube-prometheus-v0.18.0.json"),
];
