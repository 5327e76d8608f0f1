//! Installs of Ingress NGINX.

pub const FACTS: &[&str] = &[
    include_str!("facts/ingress_nginx/deploy-v1.15.1.json"),
    include_str!("facts/ingress_nginx/deploy-v1.9.6.json"),
    include_str!("facts/ingress_nginx/chart-v1.15.1.json"),
    include_str!("facts/ingress_nginx/chart-v1.15.1-daemonset.json"),
];
