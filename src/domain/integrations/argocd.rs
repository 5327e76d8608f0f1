//! Argo CD, as its `install.yaml` and `ha/install.yaml` and the chart `argo-cd` install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Deployment, Service, StatefulSet};

const NAME: &str = "app.kubernetes.io/name";

pub const TOOL: Tool = Tool {
    name: "argocd",
    title: "Argo CD",
    namespace: "argocd",
    parts: &[
        Part::required(Deployment, "argocd-server").labelled(&[&[(NAME, "argocd-server")]]),
        Part::required(Deployment, "argocd-repo-server").labelled(&[&[(NAME, "argocd-repo-server")]]),
        Part::required(StatefulSet, "argocd-application-controller")
            .labelled(&[&[(NAME, "argocd-application-controller")]]),
        // With dynamic cluster distribution the controller is a Deployment, which `config` can require instead.
        Part::optional(Deployment, "argocd-application-controller")
            .labelled(&[&[(NAME, "argocd-application-controller")]]),
        // The metrics Services have different values of this label, so they don't match.
        Part::required(Service, "argocd-server").labelled(&[&[(NAME, "argocd-server")]]),
        Part::required(Service, "argocd-repo-server").labelled(&[&[(NAME, "argocd-repo-server")]]),
        Part::optional(Deployment, "argocd-dex-server").labelled(&[&[(NAME, "argocd-dex-server")]]),
        Part::optional(Deployment, "argocd-redis").labelled(&[&[(NAME, "argocd-redis")]]),
        // The chart's highly available Redis comes from the chart `redis-ha`, which has other labels.
        Part::optional(StatefulSet, "argocd-redis-ha-server")
            .labelled(&[&[(NAME, "argocd-redis-ha")], &[("app", "redis-ha")]]),
        Part::optional(Deployment, "argocd-redis-ha-haproxy")
            .labelled(&[&[(NAME, "argocd-redis-ha-haproxy")], &[("app", "redis-ha"), ("component", "haproxy")]]),
        Part::optional(Deployment, "argocd-applicationset-controller")
            .labelled(&[&[(NAME, "argocd-applicationset-controller")]]),
        Part::optional(Deployment, "argocd-notifications-controller")
            .labelled(&[&[(NAME, "argocd-notifications-controller")]]),
    ],
};
