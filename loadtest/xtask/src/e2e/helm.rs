//! Runs Helm with an isolated home directory.

use std::path::{Path, PathBuf};

use testkit::Tool;
use testkit::kind::{KindCluster, run};

use super::{E2eError, NAMESPACE, RELEASE};

/// Helm's time limit for Pods to become ready.
const TIMEOUT: &str = "--timeout=3m";

pub(super) struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Helm {
    /// Locates helm, and builds it if it is not in the cache.
    pub(super) async fn find() -> Result<Self, E2eError> {
        let program = tokio::task::spawn_blocking(|| Tool::Helm.path()).await??;
        Ok(Self { program, kubeconfig: PathBuf::new() })
    }

    pub(super) fn of(self, cluster: &KindCluster) -> Self {
        Self { kubeconfig: cluster.kubeconfig_path(), ..self }
    }

    /// Runs `helm ARGUMENTS` in the namespace.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<(), E2eError> {
        let home = self.kubeconfig.with_file_name("helm");
        std::fs::create_dir_all(&home)?;
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
        let all = [arguments, &["--namespace", NAMESPACE, &kubeconfig]].concat();
        let all: Vec<String> = all.iter().map(|argument| (*argument).to_owned()).collect();
        run(&self.program.display().to_string(), &all, &[("HOME", &home.display().to_string())]).await.map(drop)
    }

    /// Installs or upgrades with these values and waits until the Pods are ready.
    pub(super) async fn apply(&self, verb: &str, values: &[&str]) -> Result<(), E2eError> {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../chart").display().to_string();
        // `Never`: only the image loaded onto the node is to be used.
        let mut arguments = vec![verb, RELEASE, &chart, "--wait", TIMEOUT, "--set", "image.pullPolicy=Never"];
        arguments.extend(values.iter().flat_map(|value| ["--set", *value]));
        self.run(&arguments).await
    }
}
