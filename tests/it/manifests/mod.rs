//! Objects that the tools' own manifests and usual Helm charts install: kinds, names, labels, counts.
//!
//! ```text
//! facts/<tool>/*.json ── all() ──> Fixture ── objects() ──> manifests for a real API server
//!                                        └─── found ──────> objects that each component must find
//! ```
//!
//! The files hold facts, looked up in the sources that they name; no manifest text is copied. An object's labels are
//! its own plus the fixture's `labels`, which all of its objects share. Left out are Jobs, objects without Pods,
//! and Pod labels that neither a selector nor a Service uses. The charts were rendered under the release name `zebra`,
//! so that no object is found by a lucky name. Workloads that only an operator creates have the names and labels that
//! it gives them; the object's own `source` is the reference.

mod argo_rollouts;
mod argo_workflows;
mod argocd;
mod aws_load_balancer_controller;
mod build;
mod cert_manager;
mod cilium;
mod cluster_autoscaler;
mod cnpg;
mod coredns;
mod crossplane;
mod external_dns;
mod external_secrets;
mod flagger;
mod flux;
mod found;
mod gatekeeper;
mod ingress_nginx;
mod istio;
mod jenkins;
mod karpenter;
mod keda;
mod knative;
mod kyverno;
mod linkerd;
mod loki;
mod longhorn;
mod metallb;
mod metrics_server;
mod opentelemetry_operator;
mod prometheus;
mod rook_ceph;
mod sealed_secrets;
mod strimzi;
mod tekton;
mod vault;
mod velero;

use std::collections::BTreeMap;

use ksit::domain::component::{Component, ComponentKind};
use serde::Deserialize;
use serde_json::Value;

/// One install of one tool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// The `spec.type` of the Integration that should find it.
    pub tool: String,
    /// Unique among the tool's fixtures.
    pub name: String,
    /// As written upstream; for a chart with the application's version.
    pub version: String,
    /// Reference of the facts.
    pub source: String,
    /// How it was installed, if that is not obvious.
    #[serde(default)]
    pub note: Option<String>,
    /// Default namespace of its objects.
    pub namespace: String,
    /// The `spec.config` that the Integration needs.
    pub config: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    objects: Vec<Object>,
    /// The names of its CustomResourceDefinitions.
    pub crds: Vec<String>,
    /// By `Kind/component`: names of exactly the objects that the component must find.
    pub found: BTreeMap<String, Vec<String>>,
}

/// One workload or Service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    kind: Kind,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    replicas: Option<u32>,
    labels: BTreeMap<String, String>,
    /// A workload's Pods have these labels too.
    selector: BTreeMap<String, String>,
    /// Labels of a workload's Pods beside the selector.
    #[serde(default)]
    pod: BTreeMap<String, String>,
    #[serde(default)]
    headless: bool,
    /// The host name that a Service stands for, as `spec.externalName`.
    #[serde(default)]
    external: Option<String>,
    /// Reference of this object's facts, if another.
    #[serde(default)]
    #[expect(dead_code, reason = "for the reader of the file")]
    source: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Service,
}

/// Every fixture, tool by tool.
pub fn all() -> Vec<Fixture> {
    [
        argocd::FACTS,
        flux::FACTS,
        prometheus::FACTS,
        istio::FACTS,
        cert_manager::FACTS,
        vault::FACTS,
        jenkins::FACTS,
        tekton::FACTS,
        kyverno::FACTS,
        gatekeeper::FACTS,
        external_secrets::FACTS,
        linkerd::FACTS,
        cilium::FACTS,
        keda::FACTS,
        velero::FACTS,
        crossplane::FACTS,
        argo_rollouts::FACTS,
        ingress_nginx::FACTS,
        metrics_server::FACTS,
        external_dns::FACTS,
        sealed_secrets::FACTS,
        aws_load_balancer_controller::FACTS,
        cluster_autoscaler::FACTS,
        karpenter::FACTS,
        coredns::FACTS,
        metallb::FACTS,
        longhorn::FACTS,
        rook_ceph::FACTS,
        loki::FACTS,
        opentelemetry_operator::FACTS,
        cnpg::FACTS,
        strimzi::FACTS,
        knative::FACTS,
        argo_workflows::FACTS,
        flagger::FACTS,
    ]
    .concat()
    .into_iter()
    .map(|facts| serde_json::from_str(facts).expect("a fixture"))
    .collect()
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Service => "Service",
        }
    }
}

impl Fixture {
    /// `argocd install-v3.5.1`, with the note if there is one, for messages.
    pub fn title(&self) -> String {
        let note = self.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
        format!("{} {}{note}", self.tool, self.name)
    }

    /// The namespaces of its objects, the tool's own first.
    pub fn namespaces(&self) -> Vec<&str> {
        let mut names = vec![self.namespace.as_str()];
        for object in &self.objects {
            let namespace = self.namespace_of(object);
            if !names.contains(&namespace) {
                names.push(namespace);
            }
        }
        names
    }

    /// Complete manifests, in an order in which they can be applied: namespaces, CRDs, workloads, Services.
    pub fn objects(&self) -> Vec<Value> {
        let namespaces = self.namespaces().into_iter().map(build::namespace);
        let crds = self.crds.iter().map(|name| build::crd(name));
        let objects = self.objects.iter().map(|object| build::object(self, object));
        namespaces.chain(crds).chain(objects).collect()
    }

    /// Kind and namespace of a component's object.
    pub fn place(&self, component: &Component, name: &str) -> (ComponentKind, &str) {
        let is_it = |object: &&Object| {
            object.name == name && component.kinds().any(|kind| kind.as_str() == object.kind.as_str())
        };
        let object = self.objects.iter().find(is_it).unwrap_or_else(|| panic!("{}: {name}", self.title()));
        let kind = ComponentKind::parse(object.kind.as_str()).expect("a kind with rules of its own");
        (kind, self.namespace_of(object))
    }

    fn namespace_of<'a>(&'a self, object: &'a Object) -> &'a str {
        object.namespace.as_deref().unwrap_or(&self.namespace)
    }

    fn labels_of(&self, object: &Object) -> BTreeMap<String, String> {
        self.labels.clone().into_iter().chain(object.labels.clone()).collect()
    }
}
