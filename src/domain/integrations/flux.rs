//! Flux, as `flux install`, its `install.yaml` and the chart `flux2` install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::Deployment;

const COMPONENT: &str = "app.kubernetes.io/component";
const FLUX: (&str, &str) = ("app.kubernetes.io/part-of", "flux");

pub const TOOL: Tool = Tool {
    name: "flux",
    title: "Flux",
    namespace: "flux-system",
    parts: &[
        Part::required(Deployment, "source-controller").labelled(&[&[(COMPONENT, "source-controller"), FLUX]]),
        Part::required(Deployment, "kustomize-controller").labelled(&[&[(COMPONENT, "kustomize-controller"), FLUX]]),
        Part::required(Deployment, "helm-controller").labelled(&[&[(COMPONENT, "helm-controller"), FLUX]]),
        Part::required(Deployment, "notification-controller")
            .labelled(&[&[(COMPONENT, "notification-controller"), FLUX]]),
        Part::optional(Deployment, "image-reflector-controller")
            .labelled(&[&[(COMPONENT, "image-reflector-controller"), FLUX]]),
        Part::optional(Deployment, "image-automation-controller")
            .labelled(&[&[(COMPONENT, "image-automation-controller"), FLUX]]),
    ],
};
