//! Argo Rollouts, as its `install.yaml` and the chart `argo-rollouts` install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment};

const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";

pub const TOOL: Tool = Tool {
    name: "argo-rollouts",
    title: "Argo Rollouts",
    namespace: "argo-rollouts",
    parts: &[
        Part::required(Deployment, "argo-rollouts")
            .labelled(&[&[(NAME, "argo-rollouts"), (COMPONENT, "rollouts-controller")]]),
        Part::optional(Deployment, "argo-rollouts-dashboard")
            .labelled(&[&[(NAME, "argo-rollouts"), (COMPONENT, "rollouts-dashboard")]]),
        Part::optional(Crd, "rollouts.argoproj.io"),
        Part::optional(Crd, "analysistemplates.argoproj.io"),
        Part::optional(Crd, "analysisruns.argoproj.io"),
    ],
};
