//! Istio: `istioctl install` and the charts base, istiod, gateway, cni and ztunnel; several revisions side by side.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, DaemonSet, Deployment, Service};

pub(super) const TOOL: Tool = Tool {
    name: "istio",
    title: "Istio",
    namespace: "istio-system",
    parts: &[
        Part::required(Deployment, "istiod").labelled(&[&[("app", "istiod")]]),
        Part::required(Service, "istiod").labelled(&[&[("app", "istiod")]]),
        Part::optional(Deployment, "istio-ingressgateway")
            .labelled(&[&[("istio", "ingressgateway")], &[("istio", "ingress")]])
            .also_named(&["istio-ingress"]),
        Part::optional(Deployment, "istio-egressgateway")
            .labelled(&[&[("istio", "egressgateway")], &[("istio", "egress")]])
            .also_named(&["istio-egress"]),
        Part::optional(DaemonSet, "ztunnel").labelled(&[&[("app", "ztunnel")]]),
        Part::optional(DaemonSet, "istio-cni-node").labelled(&[&[("k8s-app", "istio-cni-node")]]),
        Part::optional(Crd, "gateways.networking.istio.io"),
        Part::optional(Crd, "virtualservices.networking.istio.io"),
        Part::optional(Crd, "destinationrules.networking.istio.io"),
    ],
};
