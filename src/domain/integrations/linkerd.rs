//! Linkerd, as `linkerd install` and the chart `linkerd-control-plane` install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment, Service};

pub const TOOL: Tool = Tool {
    name: "linkerd",
    title: "Linkerd",
    namespace: "linkerd",
    parts: &[
        Part::required(Deployment, "linkerd-destination")
            .labelled(&[&[("linkerd.io/control-plane-component", "destination")]]),
        Part::required(Deployment, "linkerd-identity")
            .labelled(&[&[("linkerd.io/control-plane-component", "identity")]]),
        Part::required(Deployment, "linkerd-proxy-injector")
            .labelled(&[&[("linkerd.io/control-plane-component", "proxy-injector")]]),
        // Finds all Services of the same Pods: also those of the policy controller and the validators.
        Part::required(Service, "linkerd-dst").labelled(&[&[("linkerd.io/control-plane-component", "destination")]]),
        Part::required(Service, "linkerd-identity").labelled(&[&[("linkerd.io/control-plane-component", "identity")]]),
        Part::required(Service, "linkerd-proxy-injector")
            .labelled(&[&[("linkerd.io/control-plane-component", "proxy-injector")]]),
        Part::optional(Crd, "serviceprofiles.linkerd.io"),
        Part::optional(Crd, "servers.policy.linkerd.io"),
    ],
};
