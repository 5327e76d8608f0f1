//! The life of a release, by helm itself on a real cluster; kwok makes the Pods ready.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::json;
use testkit::{ControlPlane, Tool};

use super::helm::{Outcome, chart, run};
use crate::kit::eventually;

const NAMESPACE: &str = "ksit-system";

/// Group, version and kind of the chart's objects.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "ConfigMap"),
    ("apps", "v1", "StatefulSet"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
    ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema"),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
];

struct Release {
    client: Client,
    kubeconfig: String,
}

impl Release {
    async fn on(cluster: &ControlPlane) -> Self {
        let client = cluster.client().await.unwrap();
        // The namespace enforces restricted Pod security.
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.patch(NAMESPACE, &PatchParams::apply("test"), &Patch::Apply(namespace)).await.unwrap();
        Self { client, kubeconfig: cluster.kubeconfig_path().display().to_string() }
    }

    async fn helm(&self, arguments: &[&str]) -> Outcome {
        let common = ["--namespace", NAMESPACE, "--kubeconfig", &self.kubeconfig];
        run(Tool::Helm, &[arguments, &common].concat()).await
    }

    async fn helm_ok(&self, arguments: &[&str]) -> String {
        let outcome = self.helm(arguments).await;
        assert!(outcome.is_ok, "{arguments:?}: {}{}", outcome.stdout, outcome.stderr);
        outcome.stdout
    }

    /// Waits until exactly `replicas` replicas exist and are ready.
    async fn until_ready(&self, name: &str, replicas: i32) {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        eventually(&format!("{replicas} ready replicas of {name}"), async || {
            let status = sets.get(name).await.ok()?.status?;
            (status.ready_replicas.unwrap_or(0) == replicas && status.replicas == replicas).then_some(())
        })
        .await;
    }

    /// A release's objects, as `Kind/name`.
    async fn objects(&self, release: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let of_release = ListParams::default().labels(&format!("app.kubernetes.io/instance={release}"));
        for (group, version, kind) in KINDS {
            let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            if kind.ends_with("Policy") {
                resource.plural = format!("{}ies", kind.to_lowercase().trim_end_matches('y'));
            }
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            for object in api.list(&of_release).await.unwrap() {
                found.insert(format!("{kind}/{}", object.name_any()));
            }
        }
        found
    }
}

#[tokio::test]
async fn release_lifecycle_leaves_only_the_crds() {
    let cluster = ControlPlane::builder("release").with_workloads().start().await.unwrap();
    let release = Release::on(&cluster).await;
    let chart = chart().display().to_string();
    let notes = release.helm_ok(&["install", "ksit", &chart, "--set", "dashboard.enabled=true"]).await;
    assert!(notes.contains("helm test ksit") && notes.contains("with 3 replicas"), "{notes}");
    release.until_ready("ksit", 3).await;
    let crds =
        ["integrations", "integrationtargets", "integrationtypes", "maintenancewindows", "notifiers", "shardmaps"]
            .map(|name| format!("CustomResourceDefinition/{name}.ksit.io"));
    let installed = release.objects("ksit").await;
    assert!(crds.iter().all(|crd| installed.contains(crd)) && installed.len() > 14, "{installed:?}");

    // A second release: its CRDs exist already.
    let second = release.helm(&["install", "other", &chart, "--set", "replicas=1"]).await;
    assert!(!second.is_ok, "two releases can't own the CustomResourceDefinitions");
    release.helm_ok(&["install", "other", &chart, "--set", "replicas=1,crds.install=false"]).await;
    release.until_ready("other-ksit", 1).await;
    assert!(!release.objects("other").await.contains("PodDisruptionBudget/other-ksit"));

    release.helm_ok(&["upgrade", "ksit", &chart, "--reuse-values", "--set", "replicas=5"]).await;
    release.until_ready("ksit", 5).await;
    release.helm_ok(&["rollback", "ksit", "1"]).await;
    release.until_ready("ksit", 3).await;
    assert_eq!(release.objects("ksit").await, installed);

    release.helm_ok(&["uninstall", "other", "--wait"]).await;
    assert_eq!(release.objects("other").await, BTreeSet::new());
    release.helm_ok(&["uninstall", "ksit", "--wait"]).await;
    assert_eq!(release.objects("ksit").await, crds.into());
    let pods: Api<Pod> = Api::namespaced(release.client.clone(), NAMESPACE);
    eventually("the Pods to go", async || pods.list(&ListParams::default()).await.ok()?.items.is_empty().then_some(()))
        .await;

    // A new release can adopt the kept CRDs under any name.
    let refused = release.helm(&["install", "again", &chart]).await;
    assert!(!refused.is_ok && refused.stderr.contains("invalid ownership metadata"), "{refused:?}");
    release.helm_ok(&["install", "again", &chart, "--take-ownership", "--set", "fullnameOverride=ksit"]).await;
    release.until_ready("ksit", 3).await;
}
