//! Istio, as `istioctl install` and the charts `base`, `istiod`, `gateway`, `cni` and `ztunnel` install it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, DaemonSet, Deployment, Service};

pub const TOOL: Tool = Tool {
    name: "istio",
    title: "Istio",
    namespace: "istio-system",
    parts: &[
        // Every revision: `istiod-canary`, its Service and those of revision tags have the label too.
        Part::required(Deployment, "istiod").labelled(&[&[("app", "istiod")]]),
        Part::required(Service, "istiod").labelled(&[&[("app", "istiod")]]),
        // The chart `gateway` derives labels from its release. A gateway not labelled for egress counts as ingress.
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
