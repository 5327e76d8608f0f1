//! Crossplane, as its chart installs it. It creates its CustomResourceDefinitions when it starts.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment, Service};

pub const TOOL: Tool = Tool {
    name: "crossplane",
    title: "Crossplane",
    namespace: "crossplane-system",
    parts: &[
        Part::required(Deployment, "crossplane").labelled(&[&[("app", "crossplane")]]),
        Part::optional(Deployment, "crossplane-rbac-manager").labelled(&[&[("app", "crossplane-rbac-manager")]]),
        Part::optional(Service, "crossplane-webhooks").labelled(&[&[("app", "crossplane")]]),
        Part::optional(Crd, "compositions.apiextensions.crossplane.io"),
        Part::optional(Crd, "compositeresourcedefinitions.apiextensions.crossplane.io"),
        Part::optional(Crd, "providers.pkg.crossplane.io"),
    ],
};
