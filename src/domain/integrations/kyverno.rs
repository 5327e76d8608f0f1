//! Kyverno, as its `install.yaml` and its chart install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment, Service};

const COMPONENT: &str = "app.kubernetes.io/component";

pub const TOOL: Tool = Tool {
    name: "kyverno",
    title: "Kyverno",
    namespace: "kyverno",
    parts: &[
        Part::required(Deployment, "kyverno-admission-controller").labelled(&[&[(COMPONENT, "admission-controller")]]),
        // Also finds its metrics Service, which has the same labels.
        Part::required(Service, "kyverno-svc").labelled(&[&[(COMPONENT, "admission-controller")]]),
        Part::optional(Deployment, "kyverno-background-controller")
            .labelled(&[&[(COMPONENT, "background-controller")]]),
        Part::optional(Deployment, "kyverno-cleanup-controller").labelled(&[&[(COMPONENT, "cleanup-controller")]]),
        Part::optional(Deployment, "kyverno-reports-controller").labelled(&[&[(COMPONENT, "reports-controller")]]),
        Part::optional(Crd, "clusterpolicies.kyverno.io"),
        Part::optional(Crd, "policies.kyverno.io"),
    ],
};
