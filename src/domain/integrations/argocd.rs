//! Argo CD: official manifests (also HA) and the chart argo-cd carry the same `app.kubernetes.io/name`.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Deployment, Service, StatefulSet};

const NAME: &str = "app.kubernetes.io/name";

pub(super) const TOOL: Tool = Tool {
    name: "argocd",
    title: "Argo CD",
    namespace: "argocd",
    parts: &[
        Part::required(Deployment, "argocd-server").labelled(&[&[(NAME, "argocd-server")]]),
        Part::required(Deployment, "argocd-repo-server").labelled(&[&[(NAME, "argocd-repo-server")]]),
        Part::required(StatefulSet, "argocd-application-controller")
            .labelled(&[&[(NAME, "argocd-application-controller")]]),
        Part::required(Service, "argocd-server").labelled(&[&[(NAME, "argocd-server")]]),
        Part::required(Service, "argocd-repo-server").labelled(&[&[(NAME, "argocd-repo-server")]]),
        Part::optional(Deployment, "argocd-dex-server").labelled(&[&[(NAME, "argocd-dex-server")]]),
        Part::optional(Deployment, "argocd-redis").labelled(&[&[(NAME, "argocd-redis")]]),
        Part::optional(StatefulSet, "argocd-redis-ha-server")
            // The chart's redis-ha is a chart of its own, with labels of its own.
            .labelled(&[&[(NAME, "argocd-redis-ha")], &[("app", "redis-ha")]]),
        Part::optional(Deployment, "argocd-redis-ha-haproxy")
            .labelled(&[&[(NAME, "argocd-redis-ha-haproxy")], &[("app", "redis-ha-haproxy")]]),
        Part::optional(Deployment, "argocd-applicationset-controller")
            .labelled(&[&[(NAME, "argocd-applicationset-controller")]]),
        Part::optional(Deployment, "argocd-notifications-controller")
            .labelled(&[&[(NAME, "argocd-notifications-controller")]]),
    ],
};
