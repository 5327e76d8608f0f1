//! Installs the demo's tools on the clusters and its resources on the hub.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use testkit::ControlPlane;
use testkit::installation::Installation;
use testkit::resources::{api, object};
use testkit::workloads::Workloads;

use super::{CLUSTERS, DemoError, NAMESPACE, REPLICAS};

/// Objects on each demo cluster: kind, namespace, name.
pub(super) const TOOLS: &[(&str, &str, &str)] = &[
    ("Deployment", "argocd", "argocd-server"),
    ("Deployment", "argocd", "argocd-repo-server"),
    ("StatefulSet", "argocd", "argocd-application-controller"),
    ("Service", "argocd", "argocd-server"),
    ("Service", "argocd", "argocd-repo-server"),
    ("Deployment", "flux-system", "source-controller"),
    ("Deployment", "flux-system", "kustomize-controller"),
    ("Deployment", "flux-system", "helm-controller"),
    ("Deployment", "flux-system", "notification-controller"),
    ("Deployment", "monitoring", "prometheus-operator"),
    ("StatefulSet", "monitoring", "prometheus-k8s"),
    ("StatefulSet", "monitoring", "alertmanager-main"),
    ("Deployment", "istio-system", "istiod"),
    ("Service", "istio-system", "istiod"),
    ("Deployment", "shop", "checkout"),
    ("Service", "shop", "checkout"),
];

pub(super) async fn install_tools(target: &ControlPlane) -> Result<(), DemoError> {
    let workloads = Workloads::new(target.client().await?);
    let none = BTreeMap::new();
    for namespace in TOOLS.iter().map(|(_, namespace, _)| namespace).collect::<std::collections::BTreeSet<_>>() {
        workloads.namespace(namespace).await?;
    }
    for (kind, namespace, name) in TOOLS {
        match *kind {
            "Service" => workloads.service(namespace, name, &none, 1).await?,
            kind => workloads.workload(kind, namespace, name, &none, 1).await?,
        }
    }
    Ok(())
}

pub(super) async fn install_resources(hub: &ControlPlane, targets: &[ControlPlane]) -> Result<(), DemoError> {
    let client = hub.client().await?;
    Workloads::new(client.clone()).namespace(NAMESPACE).await?;
    for target in targets {
        let name = target.name();
        let secret: Secret = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("{name}-kubeconfig") },
            "stringData": { "kubeconfig": target.kubeconfig() },
        }))?;
        let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
        secrets.patch(&secret.name_any(), &params(), &Patch::Apply(&secret)).await?;
        let spec = json!({ "clusterName": name, "labels": { "env": "prod" } });
        apply(&client, "IntegrationTarget", name, spec).await?;
    }
    let everywhere = json!({ "matchLabels": { "env": "prod" } });
    for tool in ["argocd", "flux", "prometheus", "istio"] {
        apply(&client, "Integration", tool, json!({ "type": tool, "targetSelector": everywhere })).await?;
    }
    let shop = json!({
        "type": "custom",
        "targetClusters": CLUSTERS,
        "config": { "namespace": "shop" },
        "components": [{ "kind": "Deployment", "name": "checkout" }, { "kind": "Service", "name": "checkout" }],
    });
    apply(&client, "Integration", "shop", shop).await
}

async fn apply(client: &Client, kind: &str, name: &str, spec: Value) -> Result<(), DemoError> {
    let object = Patch::Apply(object(kind, name, spec));
    api(client, NAMESPACE, kind).patch(name, &params(), &object).await?;
    Ok(())
}

/// Short intervals and Leases keep the demo to about a minute.
pub(super) async fn start_replicas(hub: &ControlPlane, ksit: &Path) -> Result<Installation, DemoError> {
    let flags = ["--interval=1s", "--round-timeout=2s", "--lease-duration=5s", "--lease-renew-interval=1s"];
    let mut replicas = Installation::new(hub, ksit, NAMESPACE, &flags).await?;
    replicas.want(REPLICAS).await?;
    for ordinal in 0..REPLICAS {
        replicas.start(ordinal).await?;
    }
    Ok(replicas)
}

fn params() -> PatchParams {
    PatchParams::apply("demo").force()
}
