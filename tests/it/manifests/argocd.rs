//! Installs of Argo CD.

pub const FACTS: &[&str] = &[
    include_str!("facts/argocd/chart-argo-cd-10.1.1-dynamic.json"),
    include_str!("facts/argocd/chart-argo-cd-10.1.1-ha.json"),
    include_str!("facts/argocd/chart-argo-cd-10.1.1.json"),
    include_str!("facts/argocd/chart-argo-cd-7.8.28.json"),
    include_str!("facts/argocd/chart-bitnami-argo-cd-11.0.2.json"),
    include_str!("facts/argocd/chart-openshift-gitops.json"),
    include_str!("facts/argocd/core-install-v3.5.1.json"),
    include_str!("facts/argocd/install-ha-v2.14.21.json"),
    include_str!("facts/argocd/install-ha-v3.5.1.json"),
    include_str!("facts/argocd/install-v2.14.21.json"),
    include_str!("facts/argocd/install-v3.5.1.json"),
];
