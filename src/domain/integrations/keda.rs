//! KEDA, as its `keda.yaml` and its chart install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment, Service};

const NAME: &str = "app.kubernetes.io/name";

pub const TOOL: Tool = Tool {
    name: "keda",
    title: "KEDA",
    namespace: "keda",
    parts: &[
        Part::required(Deployment, "keda-operator").labelled(&[&[("app", "keda-operator")]]),
        Part::required(Deployment, "keda-operator-metrics-apiserver")
            .labelled(&[&[("app", "keda-operator-metrics-apiserver")], &[("app", "keda-metrics-apiserver")]])
            .also_named(&["keda-metrics-apiserver"]),
        Part::required(Service, "keda-operator-metrics-apiserver")
            .labelled(&[&[(NAME, "keda-operator-metrics-apiserver")], &[(NAME, "keda-metrics-apiserver")]])
            .also_named(&["keda-metrics-apiserver"]),
        Part::optional(Deployment, "keda-admission-webhooks")
            .labelled(&[&[("app", "keda-admission-webhooks")]])
            .also_named(&["keda-admission"]),
        Part::optional(Crd, "scaledobjects.keda.sh"),
        Part::optional(Crd, "scaledjobs.keda.sh"),
        Part::optional(Crd, "triggerauthentications.keda.sh"),
    ],
};
