//! Argo CD.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Deployment, Service, StatefulSet};

pub const TOOL: Tool = Tool {
    name: "argocd",
    title: "Argo CD",
    namespace: "argocd",
    parts: &[
        Part::required(Deployment, "argocd-server").labelled(&[&[("app.kubernetes.io/name", "argocd-server")]]),
        Part::required(Deployment, "argocd-repo-server")
            .labelled(&[&[("app.kubernetes.io/name", "argocd-repo-server")]]),
        Part::required(StatefulSet, "argocd-application-controller")
            .labelled(&[&[("app.kubernetes.io/name", "argocd-application-controller")]]),
        Part::required(Service, "argocd-server").labelled(&[&[("app.kubernetes.io/name", "argocd-server")]]),
    ],
};
