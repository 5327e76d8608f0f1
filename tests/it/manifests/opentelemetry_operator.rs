//! Installs of the OpenTelemetry Operator.

pub const FACTS: &[&str] = &[
    include_str!("facts/opentelemetry_operator/chart-0.122.0.json"),
    include_str!("facts/opentelemetry_operator/install-v0.115.0.json"),
    include_str!("facts/opentelemetry_operator/install-v0.158.0.json"),
];
