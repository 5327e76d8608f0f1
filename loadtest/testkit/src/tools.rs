//! Builds programs that tests and tasks use from Go modules into a cache outside the checkout.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program of a control plane, of the chart's tests, or of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    /// Stores the API server's objects.
    Etcd,
    /// The API server itself.
    KubeApiserver,
    /// Creates the Pods of workloads.
    KubeControllerManager,
    /// Binds Pods to Nodes.
    KubeScheduler,
    /// Simulates the kubelets.
    Kwok,
    /// The yardstick for how ksit reads kubeconfigs.
    Kubectl,
    /// Renders the chart.
    Helm,
    /// Validates manifests against the schemas of Kubernetes.
    Kubeconform,
    /// Checks metrics and alerting rules.
    Promtool,
    /// Scrapes the replicas.
    Prometheus,
    /// Receives alerts of a Notifier.
    Alertmanager,
    /// Generates CustomResourceDefinitions from Go types.
    ControllerGen,
    /// Stores images and charts.
    Registry,
    /// Copies images to and from a registry.
    Crane,
    /// Installs kubectl plugins.
    Krew,
    /// Checks the manifest of a kubectl plugin.
    ValidateKrewManifest,
}

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("no directory for the cache: set XDG_CACHE_HOME or HOME")]
    NoCache,
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    #[error("cannot start `go`: {0}; install Go, or set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver")]
    NoGo(#[source] io::Error),
    #[error("building {0} failed; its output is above")]
    Build(&'static str),
    #[error("{0} failed; its output is above")]
    Run(String),
    #[error("{0} has no version of {1}")]
    NoVersion(PathBuf, &'static str),
}

impl Tool {
    /// The programs of a control plane.
    pub const CONTROL_PLANE: [Self; 5] =
        [Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::KubeScheduler, Self::Kwok];

    /// The programs used only by the chart's tests.
    pub const CHART: [Self; 4] = [Self::Helm, Self::Kubeconform, Self::Promtool, Self::Prometheus];

    /// The programs that publish and check a release.
    pub const RELEASE: [Self; 5] = [Self::Registry, Self::Crane, Self::Helm, Self::Krew, Self::ValidateKrewManifest];

    /// The name of the program's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kwok => "kwok",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Kubeconform => "kubeconform",
            Self::Promtool => "promtool",
            Self::Prometheus => "prometheus",
            Self::Alertmanager => "alertmanager",
            Self::ControllerGen => "controller-gen",
            Self::Registry => "registry",
            Self::Crane => "crane",
            Self::Krew => "krew",
            Self::ValidateKrewManifest => "validate-krew-manifest",
        }
    }

    /// The folder of its go.mod, the module that defines its version, and its package.
    fn source(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Etcd => ("kubernetes", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
            Self::KubeApiserver => ("kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
            Self::KubeControllerManager => {
                ("kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager")
            }
            Self::KubeScheduler => ("kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
            Self::Kubectl => ("kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
            Self::Kwok => ("kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok"),
            Self::Helm => ("helm", "helm.sh/helm/v4", "helm.sh/helm/v4/cmd/helm"),
            Self::Kubeconform => {
                ("kubeconform", "github.com/yannh/kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform")
            }
            Self::Promtool => {
                ("prometheus", "github.com/prometheus/prometheus", "github.com/prometheus/prometheus/cmd/promtool")
            }
            Self::Prometheus => {
                ("prometheus", "github.com/prometheus/prometheus", "github.com/prometheus/prometheus/cmd/prometheus")
            }
            Self::Alertmanager => (
                "alertmanager",
                "github.com/prometheus/alertmanager",
                "github.com/prometheus/alertmanager/cmd/alertmanager",
            ),
            Self::ControllerGen => {
                ("flux", "sigs.k8s.io/controller-tools", "sigs.k8s.io/controller-tools/cmd/controller-gen")
            }
            Self::Registry => (
                "registry",
                "github.com/distribution/distribution/v3",
                "github.com/distribution/distribution/v3/cmd/registry",
            ),
            Self::Crane => {
                ("crane", "github.com/google/go-containerregistry", "github.com/google/go-containerregistry/cmd/crane")
            }
            Self::Krew => ("krew", "sigs.k8s.io/krew", "sigs.k8s.io/krew/cmd/krew"),
            Self::ValidateKrewManifest => ("krew", "sigs.k8s.io/krew", "sigs.k8s.io/krew/cmd/validate-krew-manifest"),
        }
    }

    /// Build tags: without Prometheus' service discovery, which is not needed and whose cloud clients build slowly.
    fn tags(self) -> &'static str {
        match self {
            Self::Promtool | Self::Prometheus => "remove_all_sd",
            _ => "",
        }
    }

    /// Minutes of a cold build on two cores, for the progress message.
    fn usual_minutes(self) -> u64 {
        match self {
            Self::KubeApiserver => 5,
            Self::KubeControllerManager | Self::Kubectl | Self::Helm | Self::Promtool => 2,
            _ => 1,
        }
    }

    /// The path of the program, which is built first if it is not in the cache. Blocks.
    ///
    /// # Errors
    /// Fails if the cache can't be written, or Go is missing or can't build the program.
    pub fn path(self) -> Result<PathBuf, ToolError> {
        if let Some(given) = self.given() {
            return Ok(given);
        }
        let (folder, module, _) = self.source();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(folder);
        let version = version(&folder.join("go.mod"), module)?;
        let cache = cache()?;
        let path = cache.join(format!("{}@{version}", self.name()));
        if !path.exists() {
            self.build(&folder, &cache, &path, &version)?;
        }
        Ok(path)
    }

    /// A binary in $KUBEBUILDER_ASSETS, such as envtest's.
    fn given(self) -> Option<PathBuf> {
        let path = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS")?).join(self.name());
        path.exists().then_some(path)
    }

    /// Whether the program comes from $KUBEBUILDER_ASSETS, in any version.
    pub fn is_given(self) -> bool {
        self.given().is_some()
    }

    fn build(self, folder: &Path, cache: &Path, path: &Path, version: &str) -> Result<(), ToolError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| ToolError::Io(path, error)
        };
        fs::create_dir_all(cache).map_err(io(cache))?;
        // Concurrent test runs with an empty cache must build only once.
        let lock_path = cache.join(format!("{}.lock", self.name()));
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.lock().map_err(io(&lock_path))?;
        if path.exists() {
            return Ok(());
        }
        let unfinished = cache.join(format!("{}.{}.tmp", self.name(), std::process::id()));
        let (_, _, package) = self.source();
        let (major, minor) = version.trim_start_matches('v').split_once('.').unwrap_or(("0", "0"));
        let minor = minor.split('.').next().unwrap_or_default();
        let stamp = "-X k8s.io/component-base/version";
        let flags = format!("-s -w {stamp}.gitVersion={version} {stamp}.gitMajor={major} {stamp}.gitMinor={minor}");
        let build = Command::new("go")
            .args(["build", "-trimpath", "-tags", self.tags(), "-ldflags", &flags, "-o"])
            .arg(&unfinished)
            .arg(package)
            .current_dir(folder)
            .env("CGO_ENABLED", "0")
            .stdin(Stdio::null())
            .spawn()
            .map_err(ToolError::NoGo)?;
        self.wait(build, version)?;
        fs::rename(&unfinished, path).map_err(io(path))
    }

    fn wait(self, mut build: std::process::Child, version: &str) -> Result<(), ToolError> {
        let (name, start) = (self.name(), Instant::now());
        eprintln!("building {name} {version}, once: about {} min on two cores", self.usual_minutes());
        let (mut reported, is_terminal) = (0, io::stderr().is_terminal());
        loop {
            match build.try_wait().map_err(ToolError::NoGo)? {
                Some(status) if status.success() => {
                    let line = if is_terminal { "\r" } else { "" };
                    eprintln!("{line}built {name} {version} in {} s", start.elapsed().as_secs());
                    return Ok(());
                }
                Some(_) => return Err(ToolError::Build(name)),
                None => std::thread::sleep(Duration::from_millis(200)),
            }
            let elapsed = start.elapsed().as_secs();
            // A terminal has one line, a log a line for each quarter of a minute.
            if is_terminal && elapsed > reported {
                eprint!("\r  … {name}: {elapsed} s ");
                reported = elapsed;
            } else if elapsed / 15 > reported / 15 {
                eprintln!("  … {name}: {elapsed} s");
                reported = elapsed;
            }
        }
    }
}

/// The folder of what is built once.
pub(crate) fn cache() -> Result<PathBuf, ToolError> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(base.ok_or(ToolError::NoCache)?.join("ksit/tools"))
}

/// The version of `module` required by `go_mod`, used as the cache key.
fn version(go_mod: &Path, module: &'static str) -> Result<String, ToolError> {
    let text = fs::read_to_string(go_mod).map_err(|error| ToolError::Io(go_mod.to_owned(), error))?;
    text.lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix(module)?.strip_prefix(' ')?.split(' ').next())
        .map(str::to_owned)
        .ok_or_else(|| ToolError::NoVersion(go_mod.to_owned(), module))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn tools_have_a_version_in_their_go_mod() {
        for tool in Tool::value_variants().iter().copied() {
            let (folder, module, _) = tool.source();
            let go_mod = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(folder).join("go.mod");
            assert!(version(&go_mod, module).unwrap().starts_with('v'));
        }
    }
}
