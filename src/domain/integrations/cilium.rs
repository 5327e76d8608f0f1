//! Cilium, as `cilium install` and its chart install it: with names independent of the release.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, DaemonSet, Deployment};

pub const TOOL: Tool = Tool {
    name: "cilium",
    title: "Cilium",
    namespace: "kube-system",
    parts: &[
        Part::required(DaemonSet, "cilium").labelled(&[&[("k8s-app", "cilium")]]),
        Part::required(Deployment, "cilium-operator").labelled(&[&[("io.cilium/app", "operator")]]),
        Part::optional(DaemonSet, "cilium-envoy").labelled(&[&[("k8s-app", "cilium-envoy")]]),
        Part::optional(Deployment, "hubble-relay").labelled(&[&[("k8s-app", "hubble-relay")]]),
        Part::optional(Deployment, "hubble-ui").labelled(&[&[("k8s-app", "hubble-ui")]]),
        // Created by the operator when it starts.
        Part::optional(Crd, "ciliumnetworkpolicies.cilium.io"),
        Part::optional(Crd, "ciliumendpoints.cilium.io"),
    ],
};
