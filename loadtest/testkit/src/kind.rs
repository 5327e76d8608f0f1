//! Creates clusters in containers on this machine with `kind`.

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

/// Time limit for the DNS of a new cluster to become ready, for loaded machines.
const PATIENCE: Duration = Duration::from_secs(180);

/// Environment variable with the node image, to replace kind's default.
pub const NODE_IMAGE: &str = "KIND_NODE_IMAGE";

/// A running cluster of one node. Dropping it deletes the cluster.
pub struct KindCluster {
    name: String,
    dir: TempDir,
}

impl KindCluster {
    /// Creates a cluster named `NAME-PID` from $KIND_NODE_IMAGE or else kind's own node image, and waits until its DNS
    /// is ready. Check [`KindCluster::can_be_made`] first.
    ///
    /// # Errors
    /// Returns the end of kind's output, or that DNS is not ready within three minutes.
    pub async fn create(name: &str) -> Result<Self, KindError> {
        let dir = tempfile::Builder::new().prefix("ksit-kind-").tempdir()?;
        // Constructed before the cluster exists, so an interrupted creation is deleted too.
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

    /// Checks the prerequisites; the error names the missing ones.
    ///
    /// # Errors
    /// Fails if `kind` or `docker` is not on PATH, or the Docker engine does not respond.
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
            .map_err(|error| format!("the Docker engine does not respond; start it: {error}").into())
    }

    /// The name in `kind get clusters`: `NAME-PID`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kubeconfig of an administrator on this machine.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// The kubeconfig. Fails unless the server is on loopback: load is only ever put on this machine.
    ///
    /// # Errors
    /// Fails if kind has not written the file, or the server is not on loopback.
    pub fn kubeconfig(&self) -> Result<String, KindError> {
        let text = std::fs::read_to_string(self.kubeconfig_path())?;
        let server = server(&text)?;
        match is_loopback(&server) {
            true => Ok(text),
            false => Err(format!("{} is at {server}, which is not this machine: unset DOCKER_HOST", self.name).into()),
        }
    }

    /// The URL of the API server in kind's own network, for Pods of other clusters there.
    ///
    /// # Errors
    /// Fails if kind does not know the cluster.
    pub async fn internal_url(&self) -> Result<String, KindError> {
        let arguments = ["get", "kubeconfig", "--internal", "--name", &self.name].map(str::to_owned);
        server(&run("kind", &arguments, &[]).await?)
    }

    /// A client with the rights of an administrator.
    ///
    /// # Errors
    /// Fails like [`Self::kubeconfig`].
    pub async fn client(&self) -> Result<Client, KindError> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// Like [`Self::client`], without kube's default retries: the first response counts.
    ///
    /// # Errors
    /// Fails like [`Self::kubeconfig`].
    pub async fn impatient_client(&self) -> Result<Client, KindError> {
        let mut config = self.config().await?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    async fn config(&self) -> Result<Config, KindError> {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig()?)?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?)
    }

    /// Loads an image archive onto the node.
    ///
    /// # Errors
    /// Fails if the archive can't be read or is not an image.
    pub async fn load(&self, archive: &Path) -> Result<(), KindError> {
        self.kind(&["load", "image-archive", &archive.display().to_string()]).await
    }

    /// Runs a program on the node and returns its stdout.
    ///
    /// # Errors
    /// Returns the end of its stderr if it fails.
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
        // Leaves the user's own kubeconfig untouched.
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

/// Runs a program to its end and returns its stdout; the error has the end of its stderr. The program ends when the
/// future is dropped, and Ctrl-C at a terminal does not reach it.
///
/// # Errors
/// Fails if the program can't be started or does not exit with 0.
pub async fn run(program: &str, arguments: &[String], env: &[(&str, &str)]) -> Result<String, KindError> {
    let output = Command::new(program)
        .args(arguments)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    let end = lines[lines.len().saturating_sub(15)..].join("\n");
    Err(format!("{program} {}: {}\n{end}", arguments.join(" "), output.status).into())
}

/// The server of the only cluster in a kubeconfig.
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
    fn only_local_addresses_are_loopback() {
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
