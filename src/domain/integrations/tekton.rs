//! Tekton Pipelines, as its `release.yaml` and the chart `tekton-pipeline` install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment, Service};

const NAME: &str = "app.kubernetes.io/name";
const PART_OF: &str = "app.kubernetes.io/part-of";

pub const TOOL: Tool = Tool {
    name: "tekton",
    title: "Tekton Pipelines",
    namespace: "tekton-pipelines",
    parts: &[
        Part::required(Deployment, "tekton-pipelines-controller")
            .labelled(&[&[(NAME, "controller"), (PART_OF, "tekton-pipelines")]]),
        Part::required(Deployment, "tekton-pipelines-webhook")
            .labelled(&[&[(NAME, "webhook"), (PART_OF, "tekton-pipelines")]]),
        Part::required(Service, "tekton-pipelines-webhook")
            .labelled(&[&[(NAME, "webhook"), (PART_OF, "tekton-pipelines")]]),
        Part::optional(Deployment, "tekton-events-controller")
            .labelled(&[&[(NAME, "events"), (PART_OF, "tekton-pipelines")]]),
        // `release.yaml` has it in the namespace tekton-pipelines-resolvers, which `config` can set.
        Part::optional(Deployment, "tekton-pipelines-remote-resolvers")
            .labelled(&[&[(NAME, "resolvers"), (PART_OF, "tekton-pipelines")]]),
        Part::optional(Crd, "tasks.tekton.dev"),
        Part::optional(Crd, "taskruns.tekton.dev"),
        Part::optional(Crd, "pipelines.tekton.dev"),
        Part::optional(Crd, "pipelineruns.tekton.dev"),
    ],
};
