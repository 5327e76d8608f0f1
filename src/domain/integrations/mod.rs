//! The built-in tools: each is a file of data, which `config` of an Integration turns into components.
//!
//! ```text
//! Tool (data, one file each) ─┐
//!                             ├─ config ─> Vec<Component> ─> evaluate
//! spec.components (custom)  ──┘
//! ```
//!
//! Labels and names in the data are those of the tools' own install manifests and usual Helm charts; the fixtures of
//! `tests/it/manifests` have them by version, with their sources.

mod argo_rollouts;
mod argocd;
mod cert_manager;
mod cilium;
mod config;
mod config_error;
mod crossplane;
mod external_secrets;
mod flux;
mod gatekeeper;
mod ingress_nginx;
mod istio;
mod jenkins;
mod keda;
mod kyverno;
mod linkerd;
pub mod names;
mod prometheus;
mod tekton;
mod vault;
mod velero;

use crate::domain::component::ComponentKind;

pub use config::components_of;
pub use config_error::ConfigError;

/// Every built-in tool, in display order. A new tool is one file and two lines here.
#[rustfmt::skip]
pub const TOOLS: &[&Tool] = &[
    &argocd::TOOL,
    &flux::TOOL,
    &prometheus::TOOL,
    &istio::TOOL,
    &cert_manager::TOOL,
    &vault::TOOL,
    &jenkins::TOOL,
    &tekton::TOOL,
    &kyverno::TOOL,
    &gatekeeper::TOOL,
    &external_secrets::TOOL,
    &linkerd::TOOL,
    &cilium::TOOL,
    &keda::TOOL,
    &velero::TOOL,
    &crossplane::TOOL,
    &argo_rollouts::TOOL,
    &ingress_nginx::TOOL,
];

/// A tool as data: the objects of its official manifests and usual Helm charts.
#[derive(Debug)]
pub struct Tool {
    /// The value of `spec.type`.
    pub name: &'static str,
    /// Its official spelling.
    pub title: &'static str,
    /// Its namespace unless `config.namespace` overrides it.
    pub namespace: &'static str,
    pub parts: &'static [Part],
}

impl Tool {
    pub fn named(name: &str) -> Option<&'static Tool> {
        TOOLS.iter().copied().find(|tool| tool.name == name)
    }
}

/// One component of a tool, before `config` is applied.
#[derive(Debug)]
pub struct Part {
    pub kind: ComponentKind,
    pub name: &'static str,
    pub optional: bool,
    /// Alternative sets of labels, in the syntax of [`Finder::labels`](crate::domain::component::Finder::labels).
    pub labels: &'static [&'static [(&'static str, &'static str)]],
    /// Exact names for objects without these labels; `name` itself always counts.
    pub names: &'static [&'static str],
}

impl Part {
    pub const fn required(kind: ComponentKind, name: &'static str) -> Self {
        Self { kind, name, optional: false, labels: &[], names: &[] }
    }

    pub const fn optional(kind: ComponentKind, name: &'static str) -> Self {
        Self { kind, name, optional: true, labels: &[], names: &[] }
    }

    pub const fn labelled(mut self, labels: &'static [&'static [(&'static str, &'static str)]]) -> Self {
        self.labels = labels;
        self
    }

    pub const fn also_named(mut self, names: &'static [&'static str]) -> Self {
        self.names = names;
        self
    }
}
