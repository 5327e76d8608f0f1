//! Clusters in containers on this machine, by the `kind` program.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use kube::config::Kubeconfig;
use kube::runtime::wait::await_condition;
use kube::{Client, Config};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

type KindError = Box<dyn std::error::Error + Send + Sync>;

/// For the DNS of a new cluster to answer; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which image nodes are made of; for whoever has none of kind's own.
pub const NODE_IMAGE: &str = "KIND_NODE_IMAGE";

/// A running cluster of one node. It is deleted when this is dropped.
pub struct KindCluster {
    name: String,
    dir: TempDir,
}

impl KindCluster {
    /// Creates a cluster called `NAME-PID`, of $KIND_NODE_IMAGE or else kind's own node image, and waits until its DNS
    /// works. Ask [`KindCluster::can_be_made`] first.
    pub async fn create(name: &str) -> Result<Self, KindError> {
        let dir = tempfile::Builder::new().prefix("ksit-kind-").tempdir()?;
        // Before it is there: what is interrupted halfway is deleted too.
        let cluster = Self { name: format!("{name}-{}", std::process::id()), dir };
        let mut arguments = vec!["create", "cluster", "--wait=180s"];
        let image = std::env::var(NODE_IMAGE).ok().filter(|image| !image.is_empty());
        arguments.extend(image.iter().flat_map(|image| ["--image", image.as_str()]));
        cluster.kind(&arguments).await?;
        let dns: Api<Deployment> = Api::namespaced(cluster.client().await?, "kube-system");
        let answers = await_condition(dns, "coredns", |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            status.is_some_and(|status| status.ready_replicas.unwrap_or(0) > 0)
        });
        timeout(PATIENCE, answers).await.map_err(|_| format!("{}: DNS is not ready", cluster.name))??;
        Ok(cluster)
    }

    /// Err says what is missing on this machine.
    pub async fn can_be_made() -> Result<(), KindError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |program: &&str| !std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
        let missing: Vec<&str> = ["kind", "docker"].into_iter().filter(is_there).collect();
        if !missing.is_empty() {
            return Err(format!(
                "not on PATH: {}; install kind (https://kind.sigs.k8s.io) and a Docker engine",
                missing.join(", ")
            )
            .into());
        }
        let version = ["version".to_owned(), "--format={{.Server.Version}}".to_owned()];
        run("docker", &version, &[])
            .await
            .map(drop)
            .map_err(|error| format!("the Docker engine doesn't answer; start it: {error}").into())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kubeconfig of an administrator on this machine.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// Err unless the cluster is reached on loopback: nothing that is not on this machine is ever loaded.
    pub fn kubeconfig(&self) -> Result<String, KindError> {
        let text = std::fs::read_to_string(self.kubeconfig_path())?;
        let server = server(&text)?;
        match is_loopback(&server) {
            true => Ok(text),
            false => Err(format!("{} is at {server}, which is not this machine: unset DOCKER_HOST", self.name).into()),
        }
    }

    /// The URL of the API server in kind's own network, for Pods of other clusters there.
    pub async fn internal_url(&self) -> Result<String, KindError> {
        let arguments = ["get", "kubeconfig", "--internal", "--name", &self.name].map(str::to_owned);
        server(&run("kind", &arguments, &[]).await?)
    }

    /// A client with the rights of an administrator.
    pub async fn client(&self) -> Result<Client, KindError> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// The same, which takes the first answer: others ask again where a server says that it is too early.
    pub async fn impatient_client(&self) -> Result<Client, KindError> {
        let mut config = self.config().await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    async fn config(&self) -> Result<Config, KindError> {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig()?)?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?)
    }

    /// Puts the image of an archive on the node.
    pub async fn load(&self, archive: &Path) -> Result<(), KindError> {
        self.kind(&["load", "image-archive", &archive.display().to_string()]).await
    }

    /// Runs a program on the node; what it printed.
    pub async fn on_node(&self, command: &[&str]) -> Result<String, KindError> {
        let node = format!("{}-control-plane", self.name);
        let arguments: Vec<String> =
            ["exec", &node].iter().chain(command).map(|argument| (*argument).to_owned()).collect();
        run("docker", &arguments, &[]).await
    }

    async fn kind(&self, arguments: &[&str]) -> Result<(), KindError> {
        let kubeconfig = self.kubeconfig_path().display().to_string();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| (*argument).to_owned()).chain([format!("--name={}", self.name)]).collect();
        // So the user's own kubeconfig stays as it is.
        run("kind", &arguments, &[("KUBECONFIG", &kubeconfig)]).await.map(drop)
    }
}

impl Drop for KindCluster {
    fn drop(&mut self) {
        let deleted = std::process::Command::new("kind")
            .args(["delete", "cluster", "--name", &self.name])
            .env("KUBECONFIG", self.kubeconfig_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !deleted.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be deleted: kind delete cluster --name {}", self.name, self.name);
        }
    }
}

/// Runs a program to its end. What it printed; Err has the end of what it complained. It ends when this is dropped, and
/// Ctrl-C at a terminal doesn't reach it.
pub(crate) async fn run(program: &str, arguments: &[String], env: &[(&str, &str)]) -> Result<String, KindError> {
    let output = Command::new(program)
        .args(arguments)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{program} can't be started: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(15)..].join("\n");
    Err(format!("{program} {}: {}\n{end}", arguments.join(" "), output.status).into())
}

/// Of the only cluster in a kubeconfig.
fn server(kubeconfig: &str) -> Result<String, KindError> {
    let clusters = Kubeconfig::from_yaml(kubeconfig)?.clusters;
    let server = clusters.into_iter().find_map(|named| named.cluster?.server);
    server.ok_or_else(|| "kind gave a kubeconfig without a cluster".into())
}

fn is_loopback(server: &str) -> bool {
    let host = server.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (server, expected) in [
            ("https://127.0.0.1:6443", true),
            ("https://[::1]:6443", true),
            ("https://localhost:6443", true),
            ("https://10.0.0.7:6443", false),
            ("https://127.0.0.1.example.com", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(server), expected, "{server}");
        }
    }
}
