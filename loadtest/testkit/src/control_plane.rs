//! Runs one control plane: etcd, kube-apiserver and, on request, the components that make Pods ready.

mod backup;
mod builder;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::audit::Audit;
use crate::kubeconfig::{Credential, kubeconfig};
use crate::pki::{Identity, Pki, signing_key};
use crate::port::Port;
use crate::process::{Process, ProcessError};
use crate::tools::{Tool, ToolError};
use crate::usage::Usage;

pub use builder::Builder;

/// Start-up takes seconds, on a loaded machine minutes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Issuer of ServiceAccount tokens, as kubeadm has it.
const ISSUER: &str = "https://kubernetes.default.svc";

/// Interval of readiness checks.
const POLL: Duration = Duration::from_millis(100);

const AUDIT_POLICY: &str = include_str!("audit-policy.yaml");
/// Prepended, as the first matching rule applies.
const NO_READS: &str = "rules:\n  - level: None\n    verbs: [get, list, watch]\n";
const KWOK_STAGES: &str = include_str!("kwok-stages.yaml");

/// A control plane that did not start, or a client of it that can't be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A program is missing and can't be built.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A program ended, or was not ready within two minutes.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A certificate can't be issued.
    #[error("certificates: {0}")]
    Pki(#[from] rcgen::Error),
    /// A file can't be written, or a port can't be chosen.
    #[error("files of the control plane: {0}")]
    Io(#[from] io::Error),
    /// The kubeconfig of a client can't be read.
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The API server refused a request.
    #[error("client: {0}")]
    Client(#[from] kube::Error),
}

/// A running control plane. Dropping it ends its processes and deletes its files.
pub struct ControlPlane {
    name: String,
    pki: Pki,
    admin: Identity,
    etcd_port: Port,
    peer_port: Port,
    port: Port,
    companions: Vec<Process>,
    api_server: Option<Process>,
    etcd: Option<Process>,
    /// Keeps running while the others are stopped and started; deletes the folder if the owner is killed.
    _caretaker: Process,
    /// Dropped last, when nothing writes there any more.
    dir: TempDir,
}

impl ControlPlane {
    /// Configures a plane; its processes run after [`Builder::start`]. `name` is the cluster's name in kubeconfigs.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// The name given to [`Self::builder`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of the API server, on loopback.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.number())
    }

    /// The CA of the API server and of client certificates, as PEM.
    pub fn ca_pem(&self) -> &str {
        self.pki.ca_pem()
    }

    /// Directory for scratch files, deleted with the plane.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_with(Credential::Certificate(&self.admin))
    }

    /// The file with [`Self::kubeconfig`].
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// The kubeconfig of any user, with the rights that RBAC grants to the name and the group.
    ///
    /// # Errors
    /// Fails if the certificate can't be issued.
    pub fn kubeconfig_of(&self, user: &str, group: Option<&str>) -> Result<String, StartError> {
        Ok(self.kubeconfig_with(Credential::Certificate(&self.pki.client(user, group)?)))
    }

    /// Like [`Self::kubeconfig_of`], with a certificate that expires after `left`.
    ///
    /// # Errors
    /// Fails if the certificate can't be issued.
    pub fn kubeconfig_that_ends(&self, user: &str, group: Option<&str>, left: Duration) -> Result<String, StartError> {
        Ok(self.kubeconfig_with(Credential::Certificate(&self.pki.old_client(user, group, left)?)))
    }

    /// The kubeconfig of a user with this bearer token.
    pub fn kubeconfig_with_token(&self, token: &str) -> String {
        self.kubeconfig_with(Credential::Token(token))
    }

    fn kubeconfig_with(&self, credential: Credential<'_>) -> String {
        kubeconfig(&self.name, &self.url(), self.ca_pem(), credential)
    }

    /// A token of a ServiceAccount, which is created if missing.
    ///
    /// # Errors
    /// Fails if the API server refuses the ServiceAccount or the token.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String, StartError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        accounts.patch(name, &PatchParams::apply("loadtest").force(), &Patch::Apply(account)).await?;
        let request = accounts.create_token_request(name, &PostParams::default(), &TokenRequest::default()).await?;
        Ok(request.status.and_then(|status| status.token).unwrap_or_default())
    }

    /// A client with the rights of an administrator.
    ///
    /// # Errors
    /// Fails if the client can't be built.
    pub async fn client(&self) -> Result<Client, StartError> {
        client(&self.kubeconfig()).await
    }

    /// A client authenticated with the token.
    ///
    /// # Errors
    /// Fails if the client can't be built; the token is not tried.
    pub async fn client_with_token(&self, token: &str) -> Result<Client, StartError> {
        client(&self.kubeconfig_with_token(token)).await
    }

    /// Used by servers that stand in for the API server.
    pub(crate) fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The audit log, over all starts of the API server.
    pub fn audit(&self) -> Audit {
        Audit::new(self.dir.path().join("audit.log"))
    }

    /// Kills the API server; its data stays.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Kills etcd; its data stays.
    pub fn stop_etcd(&mut self) {
        self.etcd = None;
    }

    /// Suspends (SIGSTOP) or resumes the API server: connections stay open and nothing answers.
    ///
    /// # Errors
    /// Fails if the process is gone. A stopped API server is not an error.
    pub fn freeze_api_server(&self, frozen: bool) -> io::Result<()> {
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        self.api_server.as_ref().map_or(Ok(()), |process| process.signal(signal))
    }

    /// Resource usage of the API server.
    ///
    /// # Errors
    /// Fails if the API server is not running.
    pub fn api_server_usage(&self) -> io::Result<Usage> {
        let process = self.api_server.as_ref().ok_or_else(|| io::Error::other("the API server is not running"))?;
        Usage::of(process.pid())
    }

    /// Starts etcd on its former port, with its former data.
    ///
    /// # Errors
    /// Fails if the program can't be built or started.
    pub async fn start_etcd(&mut self) -> Result<(), StartError> {
        let client = format!("http://127.0.0.1:{}", self.etcd_port.number());
        let peer = format!("http://127.0.0.1:{}", self.peer_port.number());
        let args = [
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // The data need not survive the test.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        self.etcd = Some(self.start(Tool::Etcd, &args).await?);
        Ok(())
    }

    /// Starts the API server on its former port, and waits until it is ready.
    ///
    /// # Errors
    /// Fails if the program can't be built or started, ends, or is not ready within two minutes.
    pub async fn start_api_server(&mut self) -> Result<(), StartError> {
        let file = |name: &str| self.path(name);
        let mut args = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port.number()),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port.number()),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--service-account-key-file={}", file("tokens.pub")),
            format!("--service-account-signing-key-file={}", file("tokens.key")),
            "--authorization-mode=Node,RBAC".to_owned(),
            format!("--audit-policy-file={}", file("audit-policy.yaml")),
            format!("--audit-log-path={}", file("audit.log")),
            // In MiB. Never rotated: readers need the whole log.
            "--audit-log-maxsize=1000000".to_owned(),
            "--audit-log-mode=blocking".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--allow-privileged=true".to_owned(),
        ];
        // An API server must not trust its own issuer a second time.
        args.extend(if Path::new(&file(builder::AUTHENTICATION)).exists() {
            [
                format!("--service-account-issuer=https://{}", self.name),
                format!("--authentication-config={}", file(builder::AUTHENTICATION)),
            ]
            .to_vec()
        } else {
            vec![format!("--service-account-issuer={ISSUER}")]
        });
        // The feature re-reads every object each five minutes to compare it with the cache: with ten thousand targets
        // this takes two cores for half a minute and spoils measurements.
        if !Tool::KubeApiserver.is_given() {
            args.push("--feature-gates=DetectCacheInconsistency=false".to_owned());
        }
        let mut process = self.start(Tool::KubeApiserver, &args).await?;
        let start = Instant::now();
        let client = self.client().await?;
        while !is_ready(&client).await {
            process.check()?;
            if start.elapsed() > PATIENCE {
                return Err(process.not_ready(PATIENCE).into());
            }
            sleep(POLL).await;
        }
        self.api_server = Some(process);
        Ok(())
    }

    async fn start_companions(&mut self) -> Result<(), StartError> {
        let kubeconfig = format!("--kubeconfig={}", self.path("kubeconfig"));
        let manager = [
            kubeconfig.clone(),
            format!("--service-account-private-key-file={}", self.path("tokens.key")),
            format!("--root-ca-file={}", self.path("ca.crt")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let scheduler = [kubeconfig.clone(), "--leader-elect=false".to_owned(), "--secure-port=0".to_owned()];
        let kwok = [
            kubeconfig,
            "--manage-all-nodes=true".to_owned(),
            "--cidr=10.1.0.0/16".to_owned(),
            // Without a Lease the controller-manager considers the Node dead after 40 s.
            "--node-lease-duration-seconds=40".to_owned(),
            format!("--config={}", self.path("kwok-stages.yaml")),
        ];
        self.companions.push(self.start(Tool::KubeControllerManager, &manager).await?);
        self.companions.push(self.start(Tool::KubeScheduler, &scheduler).await?);
        self.companions.push(self.start(Tool::Kwok, &kwok).await?);
        self.add_node().await
    }

    async fn add_node(&mut self) -> Result<(), StartError> {
        let size = json!({ "cpu": "1000", "memory": "4Ti", "pods": "10000" });
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": "node-1", "labels": { "kubernetes.io/os": "linux", "kubernetes.io/hostname": "node-1" } },
            "status": { "allocatable": size, "capacity": size },
        });
        let nodes: Api<Node> = Api::all(self.client().await?);
        let node: Node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
        nodes.create(&Default::default(), &node).await?;
        let start = Instant::now();
        loop {
            let node = nodes.get("node-1").await?;
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            if conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") && taints.is_empty() {
                return Ok(());
            }
            for companion in &mut self.companions {
                companion.check()?;
            }
            if start.elapsed() > PATIENCE {
                let kwok = self.companions.last().map(|kwok| kwok.not_ready(PATIENCE));
                return Err(kwok.map_or_else(|| io::Error::other("no kwok").into(), StartError::from));
            }
            sleep(POLL).await;
        }
    }

    async fn start(&self, tool: Tool, args: &[String]) -> Result<Process, StartError> {
        // A build may take minutes and must not block the runtime.
        let program = tokio::task::spawn_blocking(move || tool.path()).await.map_err(io::Error::other)??;
        let log = self.dir.path().join(format!("{}.log", tool.name()));
        Ok(Process::start(tool.name(), &program, args, &[], &log, None)?)
    }

    fn write_files(&self, reads_in_audit: bool) -> Result<(), StartError> {
        let audit_policy = if reads_in_audit { AUDIT_POLICY } else { &AUDIT_POLICY.replace("rules:\n", NO_READS) };
        let server = self.pki.server(&self.name)?;
        let (private, public) = signing_key()?;
        let files = [
            ("ca.crt", self.ca_pem()),
            ("server.crt", &server.cert),
            ("server.key", &server.key),
            ("tokens.key", &private),
            ("tokens.pub", &public),
            ("audit-policy.yaml", audit_policy),
            ("kwok-stages.yaml", KWOK_STAGES),
            ("kubeconfig", &self.kubeconfig()),
        ];
        for (name, content) in files {
            fs::write(self.dir.path().join(name), content)?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// A client from a kubeconfig.
async fn client(kubeconfig: &str) -> Result<Client, StartError> {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(Kubeconfig::from_yaml(kubeconfig)?, &options).await?;
    Ok(Client::try_from(config)?)
}

async fn is_ready(client: &Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new());
    match request {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}
