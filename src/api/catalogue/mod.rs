//! The built-in types of integration: one YAML file each, in the form in which users write their own.
//!
//! Labels and names are those of the tools' own install manifests and usual Helm charts; the fixtures of
//! `tests/it/manifests` have them by version, with their sources.

use std::sync::LazyLock;

use super::{IntegrationType, convert};
use crate::domain::integrations::Tool;

/// In the order in which tools are shown.
const FILES: &[&str] = &[
    include_str!("argocd.yaml"),
    include_str!("flux.yaml"),
    include_str!("prometheus.yaml"),
    include_str!("istio.yaml"),
    include_str!("cert-manager.yaml"),
    include_str!("vault.yaml"),
    include_str!("jenkins.yaml"),
    include_str!("tekton.yaml"),
    include_str!("kyverno.yaml"),
    include_str!("gatekeeper.yaml"),
    include_str!("external-secrets.yaml"),
    include_str!("linkerd.yaml"),
    include_str!("cilium.yaml"),
    include_str!("keda.yaml"),
    include_str!("velero.yaml"),
    include_str!("crossplane.yaml"),
    include_str!("argo-rollouts.yaml"),
    include_str!("ingress-nginx.yaml"),
    include_str!("metrics-server.yaml"),
    include_str!("external-dns.yaml"),
    include_str!("sealed-secrets.yaml"),
    include_str!("aws-load-balancer-controller.yaml"),
    include_str!("cluster-autoscaler.yaml"),
    include_str!("karpenter.yaml"),
    include_str!("coredns.yaml"),
    include_str!("metallb.yaml"),
    include_str!("longhorn.yaml"),
    include_str!("rook-ceph.yaml"),
    include_str!("loki.yaml"),
    include_str!("opentelemetry-operator.yaml"),
    include_str!("cnpg.yaml"),
    include_str!("strimzi.yaml"),
    include_str!("knative.yaml"),
    include_str!("argo-workflows.yaml"),
    include_str!("flagger.yaml"),
];

/// Each file as it is, its object, and the tool that it describes. A file that can't be read is a fault of the build,
/// and has a test.
static TYPES: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| FILES.iter().filter_map(|yaml| read(yaml).ok()).collect());

static TOOLS: LazyLock<Vec<&'static Tool>> = LazyLock::new(|| TYPES.iter().map(|built_in| &built_in.tool).collect());

/// A built-in type.
#[derive(Debug)]
pub struct BuiltIn {
    /// The manifest, with its comments.
    pub yaml: &'static str,
    /// The tool that it describes.
    pub tool: Tool,
}

fn read(yaml: &'static str) -> Result<BuiltIn, String> {
    let object: IntegrationType = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    let name = object.metadata.name.unwrap_or_default();
    Ok(BuiltIn { yaml, tool: convert::tool(&name, &object.spec)? })
}

/// The built-in types with their manifests, in display order.
pub fn types() -> &'static [BuiltIn] {
    &TYPES
}

/// The built-in tools, in display order.
pub fn tools() -> &'static [&'static Tool] {
    &TOOLS
}

/// The built-in tool of this name.
pub fn tool(name: &str) -> Option<&'static Tool> {
    tools().iter().copied().find(|tool| tool.name == name)
}

#[cfg(test)]
mod tests;
