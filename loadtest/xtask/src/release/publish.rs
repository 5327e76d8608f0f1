//! Publishes image and chart to a registry, and compares what it gives back.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use testkit::Tool;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::assemble::{IMAGE, image_digest};
use super::{ReleaseError, VERSION, names, read, run_tool, sums};

/// An object of a registry.
pub struct Published {
    /// Name without tag and digest.
    pub name: String,
    /// `sha256:…`
    pub digest: String,
}

/// Both that a registry has of a release.
pub struct Release {
    /// The image for all machines.
    pub image: Published,
    /// The chart.
    pub chart: Published,
}

impl Published {
    /// `NAME@DIGEST`
    pub(super) fn reference(&self) -> String {
        format!("{}@{}", self.name, self.digest)
    }
}

/// Logs crane and helm in to the registry of releases. The password goes through stdin, which no list of processes
/// shows.
///
/// # Errors
/// If the registry refuses.
pub async fn login(user: &str, token: &str) -> Result<(), ReleaseError> {
    let registry = names::registry();
    let host = registry.split('/').next().unwrap_or(&registry);
    let crane = ["auth", "login", host, "--username", user, "--password-stdin"];
    run_with_stdin(Tool::Crane, &crane, token).await?;
    run_with_stdin(Tool::Helm, &["registry", "login", host, "--username", user, "--password-stdin"], token).await
}

async fn run_with_stdin(tool: Tool, arguments: &[&str], stdin: &str) -> Result<(), ReleaseError> {
    let program = tokio::task::spawn_blocking(move || tool.path()).await??;
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(stdin.as_bytes()).await?;
    }
    match child.wait().await?.success() {
        true => Ok(()),
        false => Err(format!("{} {}: refused; its output is above", tool.name(), arguments[..3].join(" ")).into()),
    }
}

/// Pushes image and chart to `registry`, such as ghcr.io/someone, pulls both and compares them with those in `dist`.
///
/// # Errors
/// If the registry refuses them, has another image under this version, or gives back another content.
pub async fn publish(dist: &Path, registry: &str, plain_http: bool) -> Result<Release, ReleaseError> {
    let image = push_image(dist, registry).await?;
    let chart = push_chart(dist, registry, plain_http).await?;
    Ok(Release { image, chart })
}

async fn push_image(dist: &Path, registry: &str) -> Result<Published, ReleaseError> {
    let layout = dist.join(IMAGE);
    let expected = image_digest(&layout)?;
    let image = names::image(registry);
    let tagged = format!("{image}:{VERSION}");
    // A version that was published stays as it is.
    if let Ok(present) = run_tool(Tool::Crane, &["digest", &tagged], &[]).await {
        same("the image that is published already", present.trim(), &expected)?;
    }
    run_tool(Tool::Crane, &["push", &layout.display().to_string(), &tagged], &[]).await?;
    let pushed = run_tool(Tool::Crane, &["digest", &tagged], &[]).await?;
    same("the image in the registry", pushed.trim(), &expected)?;
    let published = Published { name: image, digest: expected };
    let (pulled, reference) = (tempfile::tempdir()?, published.reference());
    run_tool(Tool::Crane, &["pull", "--format=oci", &reference, &pulled.path().display().to_string()], &[]).await?;
    same("the pulled image", &image_digest(pulled.path())?, &published.digest)?;
    same_blobs(&layout, pulled.path())?;
    Ok(published)
}

/// Compares every blob of two layouts but their top index, which describes the layout itself.
fn same_blobs(expected: &Path, found: &Path) -> Result<(), ReleaseError> {
    let folder = Path::new("blobs/sha256");
    for entry in fs::read_dir(expected.join(folder))? {
        let name = folder.join(entry?.file_name());
        let (expected, found) = (read(&expected.join(&name))?, read(&found.join(&name))?);
        same(&name.display().to_string(), &sums::hex(&found), &sums::hex(&expected))?;
    }
    Ok(())
}

async fn push_chart(dist: &Path, registry: &str, plain_http: bool) -> Result<Published, ReleaseError> {
    let (package, folder) = (dist.join(names::chart()), format!("oci://{}", names::charts(registry)));
    let plain: &[&str] = if plain_http { &["--plain-http"] } else { &[] };
    run_tool(Tool::Helm, &[&["push", &package.display().to_string(), &folder], plain].concat(), &[]).await?;
    let pulled = tempfile::tempdir()?;
    let (chart, destination) = (format!("{folder}/ksit"), pulled.path().display().to_string());
    let pull = ["pull", &chart, "--version", VERSION, "--destination", &destination];
    run_tool(Tool::Helm, &[&pull, plain].concat(), &[]).await?;
    let (expected, found) = (read(&package)?, read(&pulled.path().join(names::chart()))?);
    same("the pulled chart", &sums::hex(&found), &sums::hex(&expected))?;
    let name = format!("{}/ksit", names::charts(registry));
    let digest = run_tool(Tool::Crane, &["digest", &format!("{name}:{VERSION}")], &[]).await?;
    Ok(Published { name, digest: digest.trim().to_owned() })
}

/// Compares two digests.
pub(super) fn same(what: &str, found: &str, expected: &str) -> Result<(), ReleaseError> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what} is {found} instead of {expected}").into()),
    }
}
