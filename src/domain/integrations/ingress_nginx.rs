//! The Ingress controller for NGINX, as its `deploy.yaml` and its chart install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{DaemonSet, Deployment, Service};

const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";

pub const TOOL: Tool = Tool {
    name: "ingress-nginx",
    title: "Ingress NGINX",
    namespace: "ingress-nginx",
    parts: &[
        Part::required(Deployment, "ingress-nginx-controller")
            .labelled(&[&[(NAME, "ingress-nginx"), (COMPONENT, "controller")]]),
        // With `controller.kind: DaemonSet`, which `config` can require instead.
        Part::optional(DaemonSet, "ingress-nginx-controller")
            .labelled(&[&[(NAME, "ingress-nginx"), (COMPONENT, "controller")]]),
        // Also finds the Service of its admission webhook, which has the same labels.
        Part::required(Service, "ingress-nginx-controller")
            .labelled(&[&[(NAME, "ingress-nginx"), (COMPONENT, "controller")]]),
        Part::optional(Deployment, "ingress-nginx-defaultbackend")
            .labelled(&[&[(NAME, "ingress-nginx"), (COMPONENT, "default-backend")]]),
    ],
};
