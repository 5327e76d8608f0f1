//! `ksit target add --token-ttl`: the operator, with the chart's rights, renews a token that is near its end.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use testkit::ControlPlane;
use testkit::audit::AuditEvent;
use testkit::workloads::Workloads;

use crate::chart::helm::{apply_all, objects};
use crate::kit::{World, condition, eventually, hub, install_flux_with};
use crate::target_command::{Contexts, ksit_target};

const NAMESPACE: &str = "token-renewal";
const ACCOUNT: &str = "system:serviceaccount:ksit:ksit";

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The token as it would be after nine of its ten minutes, signed with the key of the API server.
fn aged(plane: &ControlPlane, token: &str) -> String {
    let (now, mut claims) = (Timestamp::now().as_second(), claims(token));
    for (claim, at) in [("iat", now - 540), ("nbf", now - 540), ("exp", now + 60)] {
        claims[claim] = json!(at);
    }
    // API servers note it in the audit log: requests with the new token have one.
    claims.as_object_mut().unwrap().remove("jti");
    let head = URL_SAFE_NO_PAD.encode(json!({ "alg": "ES256", "typ": "JWT" }).to_string());
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let pem = std::fs::read_to_string(plane.dir().join("tokens.key")).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let random = SystemRandom::new();
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &STANDARD.decode(der).unwrap(), &random).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(&random, signed.as_bytes()).unwrap()))
}

struct Setting {
    world: World,
    plane: ControlPlane,
    contexts: Contexts,
}

impl Setting {
    async fn new() -> Self {
        let plane = ControlPlane::builder("renewing").start().await.unwrap();
        install_flux_with(&Workloads::new(plane.client().await.unwrap()), "flux-system").await;
        let mut contexts = Contexts::new();
        contexts.add("hub", &hub().await.kubeconfig(), |_, _| {});
        contexts.add("renewing", &plane.kubeconfig(), |_, _| {});
        Self { world: World::new(NAMESPACE).await, plane, contexts }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), NAMESPACE)
    }

    async fn kubeconfig(&self) -> Value {
        let secret = self.secrets().get("renewing-kubeconfig").await.unwrap();
        serde_json::from_slice(&secret.data.unwrap()["kubeconfig"].0).unwrap()
    }

    async fn token(&self) -> String {
        self.kubeconfig().await["users"][0]["user"]["token"].as_str().unwrap().to_owned()
    }

    async fn add(&self) -> super::target_command::Ran {
        let args = ["add", "--context", "renewing", "--token-ttl", "10m", "--yes", "-n", NAMESPACE];
        let ran = ksit_target(&self.contexts.write(), &args).await;
        assert!(ran.code == 0 && !ran.all().contains("eyJ"), "{}", ran.all());
        ran
    }

    async fn set_token(&self, token: &str) {
        let mut kubeconfig = self.kubeconfig().await;
        kubeconfig["users"][0]["user"]["token"] = json!(token);
        let patch = Patch::Merge(json!({ "stringData": { "kubeconfig": kubeconfig.to_string() } }));
        self.secrets().patch("renewing-kubeconfig", &PatchParams::default(), &patch).await.unwrap();
    }

    /// The flag that makes the operator use the rights of the chart with `values`.
    async fn rights(&self, values: &[&str]) -> String {
        let all = objects(NAMESPACE, values).await;
        let kinds = ["Service", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy", "CustomResourceDefinition"];
        apply_all(&self.world.client, all.iter().filter(|object| !kinds.contains(&object["kind"].as_str().unwrap())))
            .await;
        let token = hub().await.service_account_token(NAMESPACE, "ksit").await.unwrap();
        let path = self.plane.dir().join("operator");
        std::fs::write(&path, hub().await.kubeconfig_with_token(&token)).unwrap();
        format!("--kubeconfig={}", path.display())
    }

    /// One that is killed in its first round would be a suspicion against the target.
    async fn stop_operator(&mut self) {
        self.world.take_operator().stop(Duration::from_secs(30)).await.unwrap();
    }

    /// Waits for a failure of the renewal with these words.
    async fn until_told(&self, words: &str) {
        self.world
            .until_target("renewing", |target| {
                condition(target, "CredentialExpiring")
                    .is_some_and(|told| told.reason == "RenewalFailed" && told.message.contains(words))
            })
            .await;
    }

    fn requests(&self) -> Vec<AuditEvent> {
        self.plane.audit().begun_by(ACCOUNT).unwrap()
    }
}

fn is_with_new_token(event: &AuditEvent) -> bool {
    event.user.extra.contains_key("authentication.kubernetes.io/credential-id")
}

#[tokio::test]
async fn token_near_its_end_is_renewed_on_the_open_connection() {
    let mut setting = Setting::new().await;
    let added = setting.add().await;
    assert!(added.stderr.contains("cluster: Role ksit/ksit-token-renewal"), "{}", added.all());
    let client = setting.plane.client().await.unwrap();
    let on_target: Api<Secret> = Api::namespaced(client.clone(), "ksit");
    assert!(on_target.get_opt("ksit-token").await.unwrap().is_none(), "no token without end");
    let secret = setting.secrets().get("renewing-kubeconfig").await.unwrap();
    assert_eq!(secret.annotations()["ksit.io/token-ttl"], "10m");
    let kubeconfig = setting.rights(&["config.renewTokens=true"]).await;
    let token = aged(&setting.plane, &setting.token().await);
    setting.set_token(&token).await;
    setting.world.integration("flux", json!({ "type": "flux", "targetClusters": ["renewing"] })).await;

    setting.world.start_operator(&[&kubeconfig]).await;
    setting.until_told("set --renew-tokens (config.renewTokens").await;
    setting.stop_operator().await;

    let bindings: Api<RoleBinding> = Api::namespaced(client, "ksit");
    let mut binding = bindings.get("ksit-token-renewal").await.unwrap();
    bindings.delete("ksit-token-renewal", &DeleteParams::default()).await.unwrap();
    setting.world.start_operator(&[&kubeconfig, "--renew-tokens"]).await;
    setting.until_told("run ksit target add --token-ttl again").await;
    setting.stop_operator().await;
    assert_eq!(setting.token().await, token);

    binding.metadata = ObjectMeta { name: binding.metadata.name, ..ObjectMeta::default() };
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let before = setting.requests().len();
    setting.world.start_operator(&[&kubeconfig, "--renew-tokens"]).await;
    eventually("the new token", async || (setting.token().await != token).then_some(())).await;
    setting.world.until_phase("flux", "Running").await;
    setting
        .world
        .until_target("renewing", |target| {
            condition(target, "CredentialExpiring").is_none()
                && condition(target, "Watched").is_some_and(|watched| watched.status == "True")
        })
        .await;
    assert!(claims(&setting.token().await)["exp"].as_i64().unwrap() > Timestamp::now().as_second() + 500);
    let requests = eventually("requests with the new token", async || {
        let requests = setting.requests();
        let (_, later) = requests.split_at_checked(before)?;
        (later.iter().filter(|event| is_with_new_token(event)).count() > 2).then(|| later.to_vec())
    })
    .await;
    // Watches are streams of one connection.
    let watches: Vec<&AuditEvent> = requests.iter().filter(|event| event.verb == "watch").collect();
    assert_eq!(watches.len(), 1, "the watch of Deployments is opened once: {watches:?}");
    let shown = setting.world.everything_shown().await;
    assert!(!shown.contains("eyJ") && !shown.contains(&token[..40]));
    only_the_token_may_be_patched(&setting).await;
}

/// The policy of the chart narrows the right to patch Secrets.
async fn only_the_token_may_be_patched(setting: &Setting) {
    setting.world.secret("other", json!({ "kubeconfig": "x" })).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(setting.world.client.clone(), NAMESPACE);
    assert!(accounts.get_opt("ksit").await.unwrap().is_some());
    let token = hub().await.service_account_token(NAMESPACE, "ksit").await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(hub().await.client_with_token(&token).await.unwrap(), NAMESPACE);
    for (name, patch, words) in [
        ("other", json!({ "stringData": { "kubeconfig": "y" } }), "only patch Secrets with the annotation"),
        ("renewing-kubeconfig", json!({ "metadata": { "labels": { "a": "b" } } }), "may not change labels"),
        ("renewing-kubeconfig", json!({ "metadata": { "annotations": null } }), "may not change labels or annotations"),
        ("renewing-kubeconfig", json!({ "stringData": { "more": "y" } }), "value of one key"),
        ("renewing-kubeconfig", json!({ "metadata": { "finalizers": ["a.io/b"] } }), "finalizers or owners"),
    ] {
        let refused = eventually("the policy", async || {
            secrets.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.err()
        })
        .await;
        assert!(refused.to_string().contains(words), "{patch}: {refused}");
    }
}
