//! Istio, as `istioctl install` and the charts `base`, `istiod`, `gateway`, `cni` and `ztunnel` install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, DaemonSet, Deployment, Service};

pub const TOOL: Tool = Tool {
    name: "istio",
    title: "Istio",
    namespace: "istio-system",
    parts: &[
        // Every revision: `istiod-canary` carries the label too, and its Service, and those of revision tags.
        Part::required(Deployment, "istiod").labelled(&[&[("app", "istiod")]]),
        Part::required(Service, "istiod").labelled(&[&[("app", "istiod")]]),
        // The chart `gateway` labels after its release. What doesn't say that it is for egress is taken for ingress.
        Part::optional(Deployment, "istio-ingressgateway").labelled(&[
            &[("istio", "ingressgateway")],
            &[("helm.sh/chart", "gateway-*"), ("istio", "!egressgateway")],
        ]),
        Part::optional(Deployment, "istio-egressgateway").labelled(&[&[("istio", "egressgateway")]]),
        Part::optional(DaemonSet, "ztunnel").labelled(&[&[("app.kubernetes.io/name", "ztunnel")]]),
        Part::optional(DaemonSet, "istio-cni-node").labelled(&[&[("k8s-app", "istio-cni-node")]]),
        Part::optional(Crd, "virtualservices.networking.istio.io"),
        Part::optional(Crd, "gateways.networking.istio.io"),
        Part::optional(Crd, "destinationrules.networking.istio.io"),
        Part::optional(Crd, "authorizationpolicies.security.istio.io"),
    ],
};
