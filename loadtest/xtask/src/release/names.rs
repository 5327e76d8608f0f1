//! Names of what is published, all made from the version and `repository` in Cargo.toml.

use super::{ReleaseError, VERSION, read, root};

/// URL of the repository.
pub(super) const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Host of the repository.
const GITHUB: &str = "https://github.com/";

/// A machine that programs are released for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    /// As in `GOOS`, which krew uses.
    pub(super) os: &'static str,
    /// As in `GOARCH`.
    pub(super) arch: &'static str,
}

impl Platform {
    /// All platforms of a release.
    pub(super) const ALL: [Self; 4] = [
        Self { os: "linux", arch: "amd64" },
        Self { os: "linux", arch: "arm64" },
        Self { os: "darwin", arch: "amd64" },
        Self { os: "darwin", arch: "arm64" },
    ];

    /// The platform of a target triple.
    ///
    /// # Errors
    /// If no program is released for it.
    pub fn of_target(triple: &str) -> Result<Self, String> {
        let (machine, rest) = triple.split_once('-').unwrap_or_default();
        let arch = if machine == "x86_64" { "amd64" } else { "arm64" };
        let os = if rest == "apple-darwin" { "darwin" } else { "linux" };
        match (machine, rest) {
            ("x86_64" | "aarch64", "unknown-linux-gnu" | "apple-darwin") => Ok(Self { os, arch }),
            _ => Err("use {x86_64,aarch64}-unknown-linux-gnu or {x86_64,aarch64}-apple-darwin".to_owned()),
        }
    }

    /// The platform of this machine, with Linux.
    pub(super) fn host() -> Result<Self, String> {
        Self::of_target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
    }

    /// Name of the folder in the archive.
    pub(super) fn folder(self) -> String {
        format!("ksit-{VERSION}-{}-{}", self.os, self.arch)
    }

    /// Name of the archive.
    pub(super) fn archive(self) -> String {
        format!("{}.tar.gz", self.folder())
    }
}

/// Owner and name of the repository.
fn slug() -> &'static str {
    REPOSITORY.trim_start_matches(GITHUB)
}

/// The folder of the registry to which the workflow publishes: `ghcr.io/OWNER`.
pub fn registry() -> String {
    let (owner, _) = slug().split_once('/').unwrap_or((slug(), ""));
    format!("ghcr.io/{}", owner.to_lowercase())
}

/// The image, without tag.
pub(crate) fn image(registry: &str) -> String {
    format!("{registry}/ksit")
}

/// The folder of the chart. Apart from the image, which has the same name.
pub(super) fn charts(registry: &str) -> String {
    format!("{registry}/charts")
}

pub(super) fn sbom() -> String {
    format!("ksit-{VERSION}.cdx.json")
}

pub(super) fn chart() -> String {
    format!("ksit-{VERSION}.tgz")
}

/// URL of a file of the release.
pub(super) fn download(file: &str) -> String {
    format!("{REPOSITORY}/releases/download/v{VERSION}/{file}")
}

/// Checks that a tag is that of the present version, and that the repository is the one of Cargo.toml.
///
/// # Errors
/// Names the line to change.
pub fn check_tag(tag: &str, repository: Option<&str>) -> Result<(), ReleaseError> {
    if tag.strip_prefix('v') != Some(VERSION) {
        return Err(format!("the tag {tag} is not v{VERSION}: change `version` in Cargo.toml, or the tag").into());
    }
    if let Some(other) = repository.filter(|other| !other.eq_ignore_ascii_case(slug())) {
        return Err(format!(
            "this is the repository {other}, but `repository` in Cargo.toml is {REPOSITORY}: set it to {GITHUB}{other}, \
             run `make manifests` and commit"
        )
        .into());
    }
    let chart: serde_json::Value =
        serde_saphyr::from_str(&String::from_utf8(read(&root().join("chart/Chart.yaml"))?)?)?;
    match ["version", "appVersion"].into_iter().find(|field| chart[field] != VERSION) {
        Some(field) => Err(format!("chart/Chart.yaml: {field} is not {VERSION}").into()),
        None => Ok(()),
    }
}
