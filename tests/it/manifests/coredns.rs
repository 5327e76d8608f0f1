//! Installs of CoreDNS.

pub const FACTS: &[&str] = &[
    include_str!("facts/coredns/chart-1.46.2.json"),
    include_str!("facts/coredns/chart-rke2-1.19.402.json"),
    include_str!("facts/coredns/coredns-1.9.4.json"),
    include_str!("facts/coredns/kubeadm.json"),
];
