//! Installs of Ingress NGINX.

pub const FACTS: &[&str] = &[
    include_str!("facts/ingress_nginx/chart-bitnami-nginx-ingress-controller-12.0.9.json"),
    include_str!("facts/ingress_nginx/chart-v1.15.1-daemonset.json"),
    include_str!("facts/ingress_nginx/chart-v1.15.1.json"),
    include_str!("facts/ingress_nginx/deploy-v1.15.1.json"),
    include_str!("facts/ingress_nginx/deploy-v1.9.6.json"),
    include_str!("facts/ingress_nginx/microk8s.json"),
];
