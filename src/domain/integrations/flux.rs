//! Flux: `flux install`, its manifests and the chart flux2 keep the names of the controllers.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::Deployment;

const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "flux");
const COMPONENT: &str = "app.kubernetes.io/component";

pub(super) const TOOL: Tool = Tool {
    name: "flux",
    title: "Flux",
    namespace: "flux-system",
    parts: &[
        Part::required(Deployment, "source-controller").labelled(&[&[PART_OF, (COMPONENT, "source-controller")]]),
        Part::required(Deployment, "kustomize-controller").labelled(&[&[PART_OF, (COMPONENT, "kustomize-controller")]]),
        Part::required(Deployment, "helm-controller").labelled(&[&[PART_OF, (COMPONENT, "helm-controller")]]),
        Part::required(Deployment, "notification-controller")
            .labelled(&[&[PART_OF, (COMPONENT, "notification-controller")]]),
        Part::optional(Deployment, "image-reflector-controller")
            .labelled(&[&[PART_OF, (COMPONENT, "image-reflector-controller")]]),
        Part::optional(Deployment, "image-automation-controller")
            .labelled(&[&[PART_OF, (COMPONENT, "image-automation-controller")]]),
    ],
};
