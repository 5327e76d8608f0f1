//! Installs of the AWS Load Balancer Controller.

pub const FACTS: &[&str] = &[
    include_str!("facts/aws_load_balancer_controller/chart-v3.5.0.json"),
    include_str!("facts/aws_load_balancer_controller/helm-v2.17.1.json"),
    include_str!("facts/aws_load_balancer_controller/helm-v2.8.3.json"),
    include_str!("facts/aws_load_balancer_controller/helm-v3.5.0.json"),
];
