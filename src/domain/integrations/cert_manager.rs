//! cert-manager, as its `cert-manager.yaml` and its chart install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment, Service};

const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";

pub const TOOL: Tool = Tool {
    name: "cert-manager",
    title: "cert-manager",
    namespace: "cert-manager",
    parts: &[
        Part::required(Deployment, "cert-manager").labelled(&[&[(NAME, "cert-manager"), (COMPONENT, "controller")]]),
        Part::required(Deployment, "cert-manager-webhook").labelled(&[&[(NAME, "webhook"), (COMPONENT, "webhook")]]),
        Part::required(Deployment, "cert-manager-cainjector")
            .labelled(&[&[(NAME, "cainjector"), (COMPONENT, "cainjector")]]),
        Part::required(Service, "cert-manager-webhook").labelled(&[&[(NAME, "webhook"), (COMPONENT, "webhook")]]),
        Part::optional(Crd, "certificates.cert-manager.io"),
        Part::optional(Crd, "certificaterequests.cert-manager.io"),
        Part::optional(Crd, "issuers.cert-manager.io"),
        Part::optional(Crd, "clusterissuers.cert-manager.io"),
    ],
};
