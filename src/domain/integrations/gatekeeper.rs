//! Gatekeeper, as its `gatekeeper.yaml` and its chart install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment, Service};

pub const TOOL: Tool = Tool {
    name: "gatekeeper",
    title: "Gatekeeper",
    namespace: "gatekeeper-system",
    parts: &[
        Part::required(Deployment, "gatekeeper-controller-manager")
            .labelled(&[&[("control-plane", "controller-manager"), ("gatekeeper.sh/system", "yes")]]),
        Part::required(Deployment, "gatekeeper-audit")
            .labelled(&[&[("control-plane", "audit-controller"), ("gatekeeper.sh/system", "yes")]]),
        Part::required(Service, "gatekeeper-webhook-service").labelled(&[&[("gatekeeper.sh/system", "yes")]]),
        Part::optional(Crd, "constrainttemplates.templates.gatekeeper.sh"),
        Part::optional(Crd, "configs.config.gatekeeper.sh"),
    ],
};
