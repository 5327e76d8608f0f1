//! A hub with an operator and `ksit ui`, and two clusters that twelve IntegrationTargets name: eight the one, four the
//! other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::installation::{Installation, apply, install_crds};
use testkit::resources::{api, object};
use testkit::workloads::Workloads;
use testkit::{ControlPlane, Process};

/// IntegrationTargets.
const CLUSTERS: u32 = 12;

/// Those of the cluster that breaks; all have the label env=staging.
pub const BREAKING: u32 = 4;

/// Deployments of a tool: Integration, type, namespace, names.
const TOOLS: [(&str, &str, &str, &[&str]); 3] = [
    (
        "flux",
        "flux",
        "flux-system",
        &["source-controller", "kustomize-controller", "helm-controller", "notification-controller"],
    ),
    ("shop", "custom", "shop", &["web", "api"]),
    ("search", "custom", "search", &["index", "query"]),
];

const NAMESPACE: &str = "fleet";

const FLAGS: [&str; 2] = ["--interval=1s", "--round-timeout=2s"];

/// Everything that runs. Dropping it ends all of it.
pub struct Stage {
    /// Printed by `ksit ui`.
    pub url: String,
    workloads: Workloads,
    client: Client,
    page: Option<Process>,
    _replicas: Installation,
    _clusters: [ControlPlane; 2],
    _hub: ControlPlane,
    _dir: TempDir,
}

impl Stage {
    pub async fn set() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let ksit = root.join("target/debug/ksit");
        let start = |name: &'static str| ControlPlane::builder(name).start();
        let (hub, healthy) = tokio::try_join!(start("hub"), start("berlin")).unwrap();
        let breaking = start("quito").await.unwrap();
        let client = hub.client().await.unwrap();
        install_crds(&client, &ksit).await.unwrap();
        Workloads::new(client.clone()).namespace(NAMESPACE).await.unwrap();
        install_tools(&healthy).await;
        let workloads = install_tools(&breaking).await;
        install_resources(&client, &healthy.kubeconfig(), &breaking.kubeconfig()).await;
        let mut replicas = Installation::new(&hub, &ksit, NAMESPACE, &FLAGS).await.unwrap();
        replicas.want(1).await.unwrap();
        replicas.start(0).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (page, url) = start_page(&ksit, &hub.kubeconfig_path(), dir.path()).await;
        let (page, _replicas, _clusters, _hub, _dir) = (Some(page), replicas, [healthy, breaking], hub, dir);
        Self { url, workloads, client, page, _replicas, _clusters, _hub, _dir }
    }

    /// Scales a Deployment of Flux on the cluster that breaks; its status follows at once.
    pub async fn scale(&self, name: &str, replicas: u32) {
        self.workloads.scale("Deployment", "flux-system", name, replicas).await.unwrap();
    }

    /// Waits until the Integration is in this phase.
    pub async fn until_phase(&self, phase: &str) {
        let integrations = api(&self.client, NAMESPACE, "Integration");
        for _ in 0..300 {
            let found = integrations.get("flux").await.unwrap();
            if found.data["status"]["phase"] == phase {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("flux was never {phase}");
    }

    /// Kills `ksit ui`.
    pub fn stop_page(&mut self) {
        self.page = None;
    }
}

async fn start_page(ksit: &Path, kubeconfig: &Path, dir: &Path) -> (Process, String) {
    let log: PathBuf = dir.join("ui.log");
    let history = dir.join("history.db").display().to_string();
    let args = ["ui".to_owned(), format!("--kubeconfig={}", kubeconfig.display()), format!("--history={history}")];
    let page = Process::start("ksit-ui", ksit, &args, &[], &log, None).unwrap();
    for _ in 0..300 {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if let Some((url, _)) = text.split_once('\n') {
            return (page, url.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no URL: {}", page.log_end());
}

/// Installs the tools on a cluster.
async fn install_tools(cluster: &ControlPlane) -> Workloads {
    let workloads = Workloads::new(cluster.client().await.unwrap());
    for (_, _, namespace, names) in TOOLS {
        workloads.namespace(namespace).await.unwrap();
        for name in names {
            workloads.workload("Deployment", namespace, name, &BTreeMap::new(), 1).await.unwrap();
        }
    }
    workloads
}

async fn install_resources(client: &Client, healthy: &str, breaking: &str) {
    let params = PatchParams::apply("test").force();
    for (name, kubeconfig) in [("prod", healthy), ("staging", breaking)] {
        let secret: Value = json!({ "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "data": { "kubeconfig": STANDARD.encode(kubeconfig) } });
        apply(client, secret).await.unwrap();
    }
    for number in 0..CLUSTERS {
        let (name, env) = (format!("c{number:02}"), if number < BREAKING { "staging" } else { "prod" });
        let spec = json!({ "clusterName": name, "kubeconfigSecretRef": { "name": env } });
        let mut target = object("IntegrationTarget", &name, spec);
        target.metadata.labels =
            Some([("env", env), ("fleet", "demo")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        api(client, NAMESPACE, "IntegrationTarget").patch(&name, &params, &Patch::Apply(&target)).await.unwrap();
    }
    for (name, type_, namespace, parts) in TOOLS {
        let mut spec = json!({ "type": type_, "targetSelector": { "matchLabels": { "fleet": "demo" } } });
        if type_ == "custom" {
            let part = |name: &&str| json!({ "kind": "Deployment", "namespace": namespace, "name": name });
            spec["components"] = parts.iter().map(part).collect();
        }
        let integration = object("Integration", name, spec);
        api(client, NAMESPACE, "Integration").patch(name, &params, &Patch::Apply(&integration)).await.unwrap();
    }
}
