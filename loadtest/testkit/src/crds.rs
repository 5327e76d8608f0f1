//! The CustomResourceDefinitions of tools, from their own Go modules: Go checks these against its checksum database, and
//! keeps them, so that only the first run needs the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::tools::{Tool, ToolError, cache};

/// A tool, and where its definitions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crds {
    /// In a folder of its module.
    ArgoCd,
    /// In a folder of its module, as templates of a chart.
    CertManager,
    /// Generated from the Go types of its controllers' APIs.
    Flux,
}

/// Packages with the types of Flux, in the versions of `tools/flux/go.mod`.
const FLUX: [&str; 4] = [
    "github.com/fluxcd/helm-controller/api/v2",
    "github.com/fluxcd/image-automation-controller/api/v1",
    "github.com/fluxcd/kustomize-controller/api/v1",
    "github.com/fluxcd/source-controller/api/v1",
];

impl Crds {
    /// The definitions as YAML, one each. Blocks.
    ///
    /// # Errors
    /// Fails if Go is missing, can't download a module or build the generator, or the cache can't be written.
    pub fn read(self) -> Result<Vec<String>, ToolError> {
        let folder = match self {
            Self::ArgoCd => module("github.com/argoproj/argo-cd/v2@v2.14.3")?.join("manifests/crds"),
            Self::CertManager => module("github.com/cert-manager/cert-manager@v1.17.1")?.join("deploy/crds"),
            Self::Flux => generate()?,
        };
        let io = |error| ToolError::Io(folder.clone(), error);
        let mut texts = Vec::new();
        for entry in fs::read_dir(&folder).map_err(io)? {
            let text = fs::read_to_string(entry.map_err(io)?.path()).map_err(io)?;
            // Lines such as `# START crd {{- if … }}`, and labels of the chart's release, which are templates too.
            let plain: Vec<&str> = text.lines().filter(|line| !line.contains("{{")).collect();
            let plain = plain.join("\n");
            if plain.lines().any(|line| line == "kind: CustomResourceDefinition") {
                texts.push(plain);
            }
        }
        Ok(texts)
    }
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/flux")
}

/// The folder of a module, which Go downloads first if it does not have it.
fn module(version: &str) -> Result<PathBuf, ToolError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Download {
        dir: PathBuf,
    }
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json", version]).current_dir(tools()).stdin(Stdio::null());
    let output = command.stderr(Stdio::inherit()).output().map_err(ToolError::NoGo)?;
    let found = serde_json::from_slice::<Download>(&output.stdout).ok().filter(|_| output.status.success());
    found.map(|found| found.dir).ok_or_else(|| ToolError::Run(format!("go mod download {version}")))
}

/// Generates the definitions of Flux, once for each state of `go.sum`.
fn generate() -> Result<PathBuf, ToolError> {
    let sums = tools().join("go.sum");
    let text = fs::read_to_string(&sums).map_err(|error| ToolError::Io(sums, error))?;
    let version = |line: &str| {
        let (module, version) = line.split_once("/api v")?;
        let version = version.split_once(" h1:")?.0;
        let is_code = module.contains("/fluxcd/") && !version.ends_with("/go.mod");
        is_code.then(|| format!("{}-{version}", module.rsplit('/').next().unwrap_or_default()))
    };
    let versions: Vec<String> = text.lines().filter_map(version).collect();
    let folder = cache()?.join(format!("flux-crds@{}", versions.join("_")));
    if folder.exists() {
        return Ok(folder);
    }
    let unfinished = cache()?.join(format!("flux-crds.{}.tmp", std::process::id()));
    let mut command = Command::new(Tool::ControllerGen.path()?);
    command.arg("crd").args(FLUX.map(|package| format!("paths={package}"))).current_dir(tools());
    command.arg(format!("output:crd:dir={}", unfinished.display())).stdin(Stdio::null());
    let status = command.status().map_err(|error| ToolError::Io(tools(), error))?;
    if !status.success() {
        return Err(ToolError::Run("controller-gen".to_owned()));
    }
    match fs::rename(&unfinished, &folder) {
        // Another test run was faster.
        Err(_) if folder.exists() => Ok(folder),
        renamed => renamed.map(|()| folder.clone()).map_err(|error| ToolError::Io(folder, error)),
    }
}
