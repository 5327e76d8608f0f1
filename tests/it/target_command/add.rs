//! `ksit target add` with a hub and two clusters whose controllers issue tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use ksit::api::IntegrationTarget;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testkit::ControlPlane;
use testkit::audit::AuditEvent;
use testkit::workloads::Workloads;

use super::remove::{pause_stops_the_checks_until_resume, refused_token_is_taken_back, remove_deletes_both_sides};
use super::{Contexts, ksit_target};
use crate::kit::{World, eventually, hub};

const HUB: [&str; 4] = ["--hub-context", "hub", "-n", "target-add"];

/// Writes a credential plugin that prints `text` and exits with `code`.
fn plugin(dir: &Path, name: &str, text: &str, code: u8) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn exec(command: &Path) -> Value {
    json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never" } })
}

/// The user's own certificate, as printed by an exec plugin.
fn credential(user: &Value) -> String {
    let pem = |key: &str| String::from_utf8(STANDARD.decode(user[key].as_str().unwrap()).unwrap()).unwrap();
    json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": { "clientCertificateData": pem("client-certificate-data"), "clientKeyData": pem("client-key-data") } })
    .to_string()
}

/// One context of every kind that a user may have.
fn contexts(hub: &ControlPlane, berlin: &ControlPlane, paris: &ControlPlane) -> Contexts {
    let mut all = Contexts::new();
    let dir = all.dir.path().to_owned();
    all.add("hub", &hub.kubeconfig(), |_, _| {});
    all.add("Eu/berlin", &berlin.kubeconfig(), |_, user| *user = exec(&plugin(&dir, "good", &credential(user), 0)));
    all.add("paris", &paris.kubeconfig(), |cluster, _| {
        let ca = dir.join("ca.crt");
        fs::write(&ca, paris.ca_pem()).unwrap();
        cluster.as_object_mut().unwrap().remove("certificate-authority-data");
        cluster["certificate-authority"] = json!(ca);
    });
    all.add("paris-again", &paris.kubeconfig(), |_, _| {});
    all.add("eu.berlin", &paris.kubeconfig(), |cluster, _| {
        cluster["insecure-skip-tls-verify"] = json!(true);
        cluster.as_object_mut().unwrap().remove("certificate-authority-data");
    });
    all.add("gone", &paris.kubeconfig(), |cluster, _| cluster["server"] = json!("https://127.0.0.1:1"));
    all.add("angry", &paris.kubeconfig(), |_, user| *user = exec(&plugin(&dir, "bad", "s3cret", 1)));
    all
}

pub(super) struct Setting {
    pub(super) world: World,
    pub(super) berlin: ControlPlane,
    pub(super) paris: ControlPlane,
    pub(super) contexts: Contexts,
}

impl Setting {
    async fn new() -> Self {
        let (berlin, paris) = (ControlPlane::builder("berlin"), ControlPlane::builder("paris"));
        let berlin = berlin.with_workloads().start().await.unwrap();
        let paris = paris.with_workloads().start().await.unwrap();
        let workloads = Workloads::new(berlin.client().await.unwrap());
        workloads.namespace("flux-system").await.unwrap();
        for name in ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"] {
            workloads.workload("Deployment", "flux-system", name, &BTreeMap::new(), 1).await.unwrap();
        }
        let contexts = contexts(hub().await, &berlin, &paris);
        Self { world: World::new("target-add").await, berlin, paris, contexts }
    }

    /// Runs with these and the hub's arguments, and asserts that no credential is printed.
    pub(super) async fn add(&self, args: &[&str]) -> super::Ran {
        let ran = ksit_target(&self.contexts.write(), &[&["add"], &HUB[..], args].concat()).await;
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!shown.contains("s3cret") && !shown.contains("eyJ") && !shown.contains("LS0t"), "{shown}");
        ran
    }

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), "target-add")
    }

    pub(super) fn targets(&self) -> Api<IntegrationTarget> {
        Api::namespaced(self.world.client.clone(), "target-add")
    }
}

#[tokio::test]
async fn target_add_creates_an_account_that_observes() {
    let mut setting = Setting::new().await;
    refuses_without_consent(&setting).await;
    refused_token_is_taken_back(&setting).await;
    adds_every_usable_context(&setting).await;
    kubeconfig_holds_only_the_new_token(&setting).await;
    repeating_is_safe(&setting).await;
    leaves_objects_of_others_alone(&setting).await;
    operator_observes_with_those_rights_only(&mut setting).await;
    cluster_wide_rights_are_all_used(&mut setting).await;
    setting.world.start_operator(&[]).await;
    pause_stops_the_checks_until_resume(&setting).await;
    remove_deletes_both_sides(&setting).await;
}

async fn refuses_without_consent(setting: &Setting) {
    let refused = setting.add(&["--context", "paris"]).await;
    assert_eq!(refused.code, 2, "{}", refused.all());
    assert!(refused.stderr.contains("use --yes, or --dry-run"), "{}", refused.stderr);
    let planned = setting.add(&["--selector", "*berlin", "--dry-run", "-o", "json"]).await;
    assert_eq!(planned.code, 1, "one of both is insecure: {}", planned.all());
    let row = planned.row("context Eu/berlin");
    assert_eq!((&row["cluster"], &row["result"]), (&json!("eu-berlin"), &json!("Planned")));
    for object in [
        "cluster: Namespace ksit",
        "cluster: ServiceAccount ksit/ksit",
        "cluster: Secret ksit/ksit-token",
        "cluster: Role flux-system/ksit-flux",
        "cluster: RoleBinding flux-system/ksit-flux",
        "hub: Secret target-add/eu-berlin-kubeconfig",
        "hub: IntegrationTarget target-add/eu-berlin",
    ] {
        assert!(row["objects"].as_array().unwrap().contains(&json!(object)), "{object}: {row}");
        assert!(planned.stderr.contains(object), "{object}: {}", planned.stderr);
    }
    assert!(row["message"].as_str().unwrap().contains("127.0.0.1 is a loopback address"), "{row}");
    assert!(setting.targets().list(&Default::default()).await.unwrap().items.is_empty());
    assert!(setting.secrets().list(&Default::default()).await.unwrap().items.is_empty());
    let namespaces: Api<Namespace> = Api::all(setting.berlin.client().await.unwrap());
    assert!(namespaces.get_opt("ksit").await.unwrap().is_none());
}

async fn adds_every_usable_context(setting: &Setting) {
    let added = setting.add(&["--all-contexts", "--yes", "--label", "env=prod", "-o", "json"]).await;
    assert_eq!(added.code, 1, "{}", added.all());
    for (context, result, words) in [
        ("hub", "Skipped", "this is the hub"),
        ("Eu/berlin", "Added", ""),
        ("paris", "Added", ""),
        ("paris-again", "Skipped", "the same cluster as context paris"),
        ("eu.berlin", "Failed", "insecure-skip-tls-verify is refused"),
        ("gone", "Failed", "refuses connections"),
        ("angry", "Failed", "ended with exit status: 1"),
    ] {
        let (found, message) = added.result(&format!("context {context}"));
        assert_eq!(found, result, "{context}: {message}");
        assert!(message.contains(words), "{context}: {message}");
    }
}

async fn kubeconfig_holds_only_the_new_token(setting: &Setting) {
    for (name, plane) in [("eu-berlin", &setting.berlin), ("paris", &setting.paris)] {
        let secret = setting.secrets().get(&format!("{name}-kubeconfig")).await.unwrap();
        assert_eq!(secret.labels()["ksit.io/made-by"], "target-add");
        let data = secret.data.as_ref().unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), ["kubeconfig"]);
        let file: Value = serde_json::from_slice(&data["kubeconfig"].0).unwrap();
        let (cluster, user) = (&file["clusters"][0]["cluster"], &file["users"][0]["user"]);
        assert_eq!(cluster.as_object().unwrap().len(), 2, "server and CA");
        assert_eq!(cluster["server"], plane.url());
        let own: Api<Secret> = Api::namespaced(plane.client().await.unwrap(), "ksit");
        let token = own.get("ksit-token").await.unwrap().data.unwrap()["token"].0.clone();
        assert_eq!(*user, json!({ "token": String::from_utf8(token).unwrap() }));
        let target = setting.targets().get(name).await.unwrap();
        assert_eq!(target.spec.cluster_name, name);
        assert_eq!(target.labels()["env"], "prod", "for kubectl get -l");
        assert_eq!(target.spec.labels.unwrap()["env"], "prod");
    }
}

async fn repeating_is_safe(setting: &Setting) {
    let secret = async || setting.secrets().get("eu-berlin-kubeconfig").await.unwrap().resource_version();
    let target = async || setting.targets().get("eu-berlin").await.unwrap();
    let (before, target_before) = (secret().await, target().await);
    let again = setting.add(&["--context", "Eu/berlin", "--yes"]).await;
    assert_eq!(again.code, 0, "{}", again.all());
    assert!(again.stdout.contains("1 added"), "{}", again.stdout);
    assert_eq!(secret().await, before);
    assert_eq!(target().await.resource_version(), target_before.resource_version());
    setting.add(&["--context", "Eu/berlin", "--yes", "--label", "tier=gold"]).await;
    for labels in [target().await.spec.labels.unwrap(), target().await.metadata.labels.unwrap()] {
        assert_eq!((labels["env"].as_str(), labels["tier"].as_str()), ("prod", "gold"));
    }
    let odd = setting.add(&["--context", "Eu/berlin", "--yes", "--label", "tier=solid gold"]).await;
    assert!(odd.code == 2 && odd.stderr.contains("not a valid Kubernetes label"), "{}", odd.all());
    let more = setting.add(&["--context", "paris", "--yes", "--type", "vault", "--type", "cilium", "-o", "json"]).await;
    assert_eq!(more.code, 0, "{}", more.all());
    assert!(more.result("context paris").1.contains("left out, because the namespace does not exist: vault=vault"));
    let wide = setting.add(&["--context", "paris", "--dry-run", "--cluster-wide", "-o", "json"]).await;
    assert!(wide.row("context paris")["objects"].to_string().contains("cluster: ClusterRole ksit"));
}

async fn leaves_objects_of_others_alone(setting: &Setting) {
    let world = &setting.world;
    world.secret("rome-kubeconfig", json!({ "kubeconfig": "mine" })).await;
    world.apply("IntegrationTarget", "oslo", json!({ "clusterName": "oslo" })).await.unwrap();
    for (name, words) in [
        ("rome", "hub: Secret target-add/rome-kubeconfig exists and was not created by ksit: --force takes it over"),
        ("oslo", "hub: IntegrationTarget target-add/oslo exists and was not created by ksit"),
        ("eu-berlin", "is for another server"),
    ] {
        let refused = setting.add(&["--context", "paris", "--name", name, "--yes", "-o", "json"]).await;
        assert_eq!(refused.code, 1, "{}", refused.all());
        let (result, message) = refused.result("context paris");
        assert!(result == "Failed" && message.contains(words), "{name}: {message}");
    }
    let mine = setting.secrets().get("rome-kubeconfig").await.unwrap().data.unwrap();
    assert_eq!(mine["kubeconfig"].0, b"mine");
    let other = json!({ "clusterName": "oslo", "kubeconfigSecretRef": { "name": "other" } });
    world.apply("IntegrationTarget", "rome", other).await.unwrap();
    let forced = setting.add(&["--context", "paris", "--name", "rome", "--yes", "--force"]).await;
    assert_eq!(forced.code, 0, "{}", forced.all());
    let rome = setting.targets().get("rome").await.unwrap().spec;
    assert_eq!(
        (rome.cluster_name.as_str(), rome.kubeconfig_secret_ref.unwrap().name.as_str()),
        ("rome", "rome-kubeconfig")
    );
    let moved = ["--context", "paris", "--name", "lyon", "--server", "https://lyon.example.com:6443", "--yes"];
    assert_eq!(setting.add(&moved).await.code, 0);
    let lyon = setting.secrets().get("lyon-kubeconfig").await.unwrap().data.unwrap();
    assert!(String::from_utf8_lossy(&lyon["kubeconfig"].0).contains("https://lyon.example.com:6443"));
    for name in ["rome", "oslo", "lyon"] {
        world.delete::<IntegrationTarget>(name).await;
    }
}

async fn operator_observes_with_those_rights_only(setting: &mut Setting) {
    let mark = setting.berlin.audit().mark();
    setting.world.integration("flux", json!({ "type": "flux", "targetClusters": ["eu-berlin"] })).await;
    setting.world.start_operator(&[]).await;
    setting.world.until_phase("flux", "Running").await;
    setting.world.until_reach("paris", "Connected").await;
    // The audit log has a watch once it has ended.
    drop(setting.world.take_operator());
    let requests = eventually("the watch of Deployments in the audit log", async || {
        let requests = requests_as_ksit(&setting.berlin, mark);
        let is_theirs = |event: &AuditEvent| event.request_uri.contains("/namespaces/flux-system/deployments");
        requests.iter().any(is_theirs).then_some(requests)
    })
    .await;
    assert_only_read(&requests);
    setting.world.start_operator(&[]).await;
}

/// Requests made with the account that `ksit target add` created.
fn requests_as_ksit(plane: &ControlPlane, mark: u64) -> Vec<AuditEvent> {
    let mut events = plane.audit().since(mark).unwrap();
    events.retain(|event| event.user.username == "system:serviceaccount:ksit:ksit");
    events
}

fn assert_only_read(requests: &[AuditEvent]) {
    for event in requests {
        let is_read = ["get", "list", "watch"].contains(&event.verb.as_str());
        assert!(is_read && ![401, 403].contains(&event.code()), "{} {}", event.verb, event.request_uri);
    }
}

async fn cluster_wide_rights_are_all_used(setting: &mut Setting) {
    let wide = setting.add(&["--context", "paris", "--yes", "--cluster-wide"]).await;
    assert_eq!(wide.code, 0, "{}", wide.all());
    let mark = setting.paris.audit().mark();
    Workloads::new(setting.paris.client().await.unwrap()).namespace("shop").await.unwrap();
    let part = |kind: &str| json!({ "kind": kind, "namespace": "shop", "name": "web" });
    let crd = json!({ "kind": "CustomResourceDefinition", "name": "webs.example.com" });
    let components = [part("Deployment"), part("StatefulSet"), part("DaemonSet"), part("Service"), crd];
    let spec = json!({ "type": "custom", "targetClusters": ["paris"], "components": components });
    setting.world.integration("shop", spec).await;
    let shop = setting.world.until_phase("shop", "Failed").await.status.unwrap();
    let shop = shop.full_message().unwrap();
    assert!(!shop.contains("may not"), "{shop}");
    drop(setting.world.take_operator());
    eventually("every right to be used", async || {
        let requests = requests_as_ksit(&setting.paris, mark);
        assert_only_read(&requests);
        let resource = |event: &AuditEvent| event.object_ref.as_ref().map(|object| object.resource.clone());
        let used: BTreeSet<String> = requests.iter().filter_map(resource).collect();
        let granted = [
            "customresourcedefinitions",
            "daemonsets",
            "deployments",
            "endpointslices",
            "namespaces",
            "services",
            "statefulsets",
        ];
        (used == granted.map(str::to_owned).into()).then_some(())
    })
    .await;
}
