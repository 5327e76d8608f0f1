//! The target cluster: ksit's rights there, and how it breaks.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::installation::apply;
use testkit::kubeconfig::{Credential, kubeconfig};
use tokio::time::{Instant, sleep};

use super::inventory::inventory;
use super::{E2eError, LEASE, NAMESPACE, PATIENCE, Stage, TARGETS, Watched, print_progress};

/// The checked component: every cluster has it, and it really runs.
pub(super) const NAMESPACE_OF_DNS: &str = "kube-system";
pub(super) const DNS: &str = "coredns";

/// Name of the Secret with the target's kubeconfig.
pub(super) const SECRET: &str = "target";

/// ksit's ServiceAccount on a target.
const READER: &str = include_str!("../../../../deploy/target/reader.yaml");
const READER_NAME: &str = "ksit";
const READER_TOKEN: &str = "ksit-token";

impl Stage {
    /// Grants ksit minimal rights on the target, creates its Secret on the hub, and returns the hub's inventory.
    pub(super) async fn connect(&self) -> Result<BTreeSet<String>, E2eError> {
        let manifests = serde_saphyr::from_multiple::<Value>(READER)?;
        for object in manifests.into_iter().chain(rights()) {
            apply(&self.target_client, object).await?;
        }
        let (url, secret) = (self.target.internal_url().await?, self.token().await?);
        let text = |key: &str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.clone());
            String::from_utf8(value.unwrap_or_default())
        };
        let kubeconfig = kubeconfig("target", &url, &text("ca.crt")?, Credential::Token(&text("token")?));
        print_progress(&format!("the target is {url}"));
        let strict = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let objects = [
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE, "labels": strict } }),
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET, "namespace": NAMESPACE },
                "stringData": { "kubeconfig": kubeconfig } }),
        ];
        for object in objects {
            apply(&self.client, object).await?;
        }
        self.until_namespace_is_complete().await?;
        inventory(&self.client).await
    }

    /// Waits until the controllers have put a token into the Secret that requests one.
    async fn token(&self) -> Result<Secret, E2eError> {
        let secrets: Api<Secret> = Api::namespaced(self.target_client.clone(), READER_NAME);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let secret = secrets.get(READER_TOKEN).await?;
            if secret.data.as_ref().is_some_and(|data| data.contains_key("token")) {
                return Ok(secret);
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err("the target's controllers made no token".into())
    }

    /// Waits for the ConfigMap with the CA and the ServiceAccount that every namespace gets.
    async fn until_namespace_is_complete(&self) -> Result<(), E2eError> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let all = inventory(&self.client).await?;
            let wanted = ["ConfigMap", "ServiceAccount"].into_iter().zip(["kube-root-ca.crt", "default"]);
            if wanted.into_iter().all(|(kind, name)| all.contains(&format!("{kind} {NAMESPACE}/{name}"))) {
                return Ok(());
            }
            sleep(Duration::from_millis(200)).await;
        }
        Err("the hub's controllers don't complete the namespace".into())
    }

    pub(super) async fn scale_dns(&self, replicas: u32) -> Result<(), E2eError> {
        let deployments: Api<Deployment> = Api::namespaced(self.target_client.clone(), NAMESPACE_OF_DNS);
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        deployments.patch_scale(DNS, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub(super) async fn break_target(&self, watched: &Watched) -> Result<(), E2eError> {
        self.scale_dns(0).await?;
        let start = Instant::now();
        watched.until_all("Failed", LEASE).await?;
        print_progress(&format!("all statuses were Failed after {:.2} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Scales up again; the Pods must start first.
    pub(super) async fn mend_target(&self, watched: &Watched) -> Result<(), E2eError> {
        self.scale_dns(2).await?;
        watched.until_all("Running", PATIENCE).await
    }
}

impl Watched {
    /// Waits until all targets and the Integration have that phase.
    pub(super) async fn until_all(&self, phase: &str, patience: Duration) -> Result<(), E2eError> {
        for (record, count) in [(&self.targets, TARGETS), (&self.integration, 1)] {
            let wanted = format!("{phase} {count}");
            record.until(&wanted, patience, |phases| *phases == wanted).await?;
        }
        Ok(())
    }
}

/// Rights to read the Deployments of one namespace and to check that it exists.
fn rights() -> [Value; 2] {
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({ "name": "ksit-dns", "namespace": NAMESPACE_OF_DNS });
    [
        json!({ "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata, "rules": [
            { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": [""], "resources": ["namespaces"], "resourceNames": [NAMESPACE_OF_DNS], "verbs": ["get"] },
        ] }),
        json!({ "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": "Role", "name": "ksit-dns" },
            "subjects": [{ "kind": "ServiceAccount", "name": READER_NAME, "namespace": READER_NAME }] }),
    ]
}
