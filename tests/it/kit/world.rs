//! A test's namespace on the hub, and its operator.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ksit::api::{Integration, IntegrationTarget};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Process;
use testkit::workloads::Workloads;
use tokio::time::{Instant, sleep};

/// Time-out of every wait; the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);

pub struct World {
    pub namespace: String,
    pub client: Client,
    operator: Option<Process>,
    dir: TempDir,
}

impl World {
    /// Creates the test's namespace on the shared hub. No operator runs yet.
    pub async fn new(namespace: &str) -> Self {
        let client = super::hub().await.client().await.unwrap();
        Workloads::new(client.clone()).namespace(namespace).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self { namespace: namespace.to_owned(), client, operator: None, dir }
    }

    /// Starts `ksit operator` for this namespace, with a round a second.
    pub async fn start_operator(&mut self, flags: &[&str]) {
        self.launch(r#"exec "$@""#, flags).await;
    }

    /// As above, with a hard limit of `files` file descriptors.
    pub async fn start_operator_with_files(&mut self, files: u32, flags: &[&str]) {
        self.launch(&format!(r#"ulimit -n {files} && exec "$@""#), flags).await;
    }

    /// As above with a soft limit, which the operator may raise itself.
    pub async fn start_operator_with_soft_files(&mut self, files: u32, flags: &[&str]) {
        self.launch(&format!(r#"ulimit -S -n {files} && exec "$@""#), flags).await;
    }

    /// As above, with a variable of the environment.
    pub async fn start_operator_with_env(&mut self, name: &str, value: &str, flags: &[&str]) {
        self.launch(&format!(r#"export {name}={value} && exec "$@""#), flags).await;
    }

    /// Runs a line of shell with the operator's command line as its arguments.
    async fn launch(&mut self, line: &str, flags: &[&str]) {
        let hub = super::hub().await.kubeconfig_path().display().to_string();
        let namespace = format!("--watch-namespaces={}", self.namespace);
        let own = format!("--namespace={}", self.namespace);
        let usual = [
            "operator",
            "--kubeconfig",
            &hub,
            &namespace,
            "--replica=ksit-0",
            &own,
            "--report-bind-address=127.0.0.1:0",
            "--interval=1s",
            "--round-timeout=2s",
            "--allow-loopback-targets",
            "--log-level=debug,hyper=info,h2=info,rustls=info,kube=info,tower=info",
            "--metrics-bind-address=127.0.0.1:0",
        ];
        let shell = ["-c", line, "sh", env!("CARGO_BIN_EXE_ksit")];
        let args: Vec<String> = shell.iter().chain(&usual).chain(flags).map(|arg| (*arg).to_owned()).collect();
        self.operator = Some(Process::start("ksit", Path::new("sh"), &args, &[], &self.log_path(), None).unwrap());
    }

    pub fn operator(&self) -> &Process {
        self.operator.as_ref().unwrap()
    }

    pub fn take_operator(&mut self) -> Process {
        self.operator.take().unwrap()
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.dir.path().join("ksit.log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The response of an operator endpoint: status line, headers and body.
    pub async fn http_get(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = eventually("the operator to listen", async || {
            tokio::net::TcpStream::connect(self.operator_address()?).await.ok()
        })
        .await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: ksit\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Address of the operator's endpoints, once it serves them.
    pub fn operator_address(&self) -> Option<String> {
        // The last line: an earlier operator wrote to the same log.
        let log = self.log();
        let line = log.lines().rfind(|text| text.contains("serving /livez, /readyz and /metrics"))?;
        Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
    }

    pub async fn targets(&self) -> Vec<IntegrationTarget> {
        let api: Api<IntegrationTarget> = Api::namespaced(self.client.clone(), &self.namespace);
        api.list(&Default::default()).await.unwrap().items
    }

    pub async fn secret(&self, name: &str, data: Value) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data });
        api.patch(name, &params(), &Patch::Apply(secret)).await.unwrap();
    }

    /// Applies an IntegrationTarget and the Secret with its kubeconfig.
    pub async fn target(&self, name: &str, kubeconfig: &str) {
        self.secret(&format!("{name}-kubeconfig"), json!({ "kubeconfig": kubeconfig })).await;
        self.apply("IntegrationTarget", name, json!({ "clusterName": name })).await.unwrap();
    }

    pub async fn integration(&self, name: &str, spec: Value) {
        self.apply("Integration", name, spec).await.unwrap();
    }

    /// Server-side apply of a ksit resource.
    pub async fn apply(&self, kind: &str, name: &str, spec: Value) -> Result<DynamicObject, kube::Error> {
        let object =
            json!({ "apiVersion": "ksit.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
        self.api(kind).patch(name, &params(), &Patch::Apply(object)).await
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("ksit.io", "v1alpha1", kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// The target, once it satisfies `wanted`.
    pub async fn until_target(&self, name: &str, wanted: impl Fn(&IntegrationTarget) -> bool) -> IntegrationTarget {
        self.until(name, wanted).await
    }

    pub async fn until_integration(&self, name: &str, wanted: impl Fn(&Integration) -> bool) -> Integration {
        self.until(name, wanted).await
    }

    async fn until<K>(&self, name: &str, wanted: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let start = Instant::now();
        loop {
            let object = api.get(name).await.unwrap();
            if wanted(&object) {
                return object;
            }
            assert!(start.elapsed() < TIMEOUT, "timed out waiting for {name}: {object:#?}\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The target, once its `Reachable` condition has `reason`.
    pub async fn until_reach(&self, name: &str, reason: &str) -> IntegrationTarget {
        self.until_target(name, |target| condition(target, "Reachable").is_some_and(|c| c.reason == reason)).await
    }

    pub async fn until_phase(&self, integration: &str, phase: &str) -> Integration {
        self.until_integration(integration, |object| {
            object.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase)
        })
        .await
    }

    /// All output of ksit: statuses, Events, log, metrics.
    pub async fn everything_shown(&self) -> String {
        let mut all = String::new();
        for kind in ["Integration", "IntegrationTarget"] {
            for object in self.api(kind).list(&Default::default()).await.unwrap() {
                all.push_str(&format!("{} {}\n", object.name_any(), object.data["status"]));
            }
        }
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        for event in events.list(&Default::default()).await.unwrap() {
            all.push_str(&serde_json::to_string(&event).unwrap());
        }
        all + &self.log() + &self.http_get("/metrics").await
    }

    pub async fn events(&self) -> Vec<Event> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        events.list(&Default::default()).await.unwrap().items
    }
}

/// A condition of a target's status.
pub fn condition<'a>(target: &'a IntegrationTarget, type_: &str) -> Option<&'a Condition> {
    target.status.as_ref()?.condition(type_)
}

/// Polls `look` until it returns something.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < TIMEOUT, "timed out waiting for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn params() -> PatchParams {
    PatchParams::apply("test").force()
}

/// Waits until a process has exited by itself.
pub async fn until_ended(process: &mut Process) {
    for _ in 0..600 {
        if process.check().is_err() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the process still runs; its log:\n{}", std::fs::read_to_string(process.log()).unwrap_or_default());
}
