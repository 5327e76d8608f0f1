//! Installs of Jenkins.

pub const FACTS: &[&str] = &[
    include_str!("facts/jenkins/chart-5.9.53.json"),
    include_str!("facts/jenkins/chart-bitnami-jenkins-13.6.18.json"),
    include_str!("facts/jenkins/chart-operator-0.9.0.json"),
    include_str!("facts/jenkins/helm-5.7.15.json"),
    include_str!("facts/jenkins/helm-5.9.53.json"),
];
