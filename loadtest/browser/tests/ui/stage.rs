//! A hub with an operator and `ksit ui`, and one cluster that twelve IntegrationTargets name.

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
use testkit::installation::{Installation, apply};
use testkit::resources::{api, object};
use testkit::workloads::Workloads;
use testkit::{ControlPlane, Process};

/// IntegrationTargets.
pub const CLUSTERS: u32 = 12;

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
    _target: ControlPlane,
    _hub: ControlPlane,
    _dir: TempDir,
}

impl Stage {
    pub async fn set() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let ksit = root.join("target/debug/ksit");
        let (hub, target) =
            tokio::try_join!(ControlPlane::builder("hub").start(), ControlPlane::builder("berlin").start()).unwrap();
        let client = hub.client().await.unwrap();
        install_crds(&client, &root.join("crds")).await;
        Workloads::new(client.clone()).namespace(NAMESPACE).await.unwrap();
        let workloads = Workloads::new(target.client().await.unwrap());
        workloads.namespace("flux-system").await.unwrap();
        for name in ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"] {
            workloads.workload("Deployment", "flux-system", name, &BTreeMap::new(), 1).await.unwrap();
        }
        install_resources(&client, &target.kubeconfig()).await;
        let mut replicas = Installation::new(&hub, &ksit, NAMESPACE, &FLAGS).await.unwrap();
        replicas.want(1).await.unwrap();
        replicas.start(0).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (page, url) = start_page(&ksit, &hub.kubeconfig_path(), dir.path()).await;
        let (page, _replicas, _target, _hub, _dir) = (Some(page), replicas, target, hub, dir);
        Self { url, workloads, client, page, _replicas, _target, _hub, _dir }
    }

    /// Scales a Deployment of Flux; its status follows at once.
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
    let args = ["ui".to_owned(), format!("--kubeconfig={}", kubeconfig.display())];
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

async fn install_crds(client: &Client, folder: &Path) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let crd: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
        let params = PatchParams::apply("test").force();
        crds.patch(&crd.name_any(), &params, &Patch::Apply(&crd)).await.unwrap();
        await_condition(crds.clone(), &crd.name_any(), is_crd_established()).await.unwrap();
    }
}

async fn install_resources(client: &Client, kubeconfig: &str) {
    let secret: Value = json!({ "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "shared", "namespace": NAMESPACE },
        "data": { "kubeconfig": STANDARD.encode(kubeconfig) } });
    apply(client, secret).await.unwrap();
    let params = PatchParams::apply("test").force();
    for number in 0..CLUSTERS {
        let (name, env) = (format!("c{number:02}"), if number % 3 == 0 { "staging" } else { "prod" });
        let spec = json!({ "clusterName": name, "kubeconfigSecretRef": { "name": "shared" } });
        let mut target = object("IntegrationTarget", &name, spec);
        target.metadata.labels =
            Some(BTreeMap::from([("env".to_owned(), env.to_owned()), ("fleet".to_owned(), "demo".to_owned())]));
        api(client, NAMESPACE, "IntegrationTarget").patch(&name, &params, &Patch::Apply(&target)).await.unwrap();
    }
    let spec = json!({ "type": "flux", "targetSelector": { "matchLabels": { "fleet": "demo" } } });
    let integration = object("Integration", "flux", spec);
    api(client, NAMESPACE, "Integration").patch("flux", &params, &Patch::Apply(&integration)).await.unwrap();
}
