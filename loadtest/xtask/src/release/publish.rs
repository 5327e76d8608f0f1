//! Publishes image and chart to a registry, and compares what it gives back.

use std::fs;
use std::path::Path;

use testkit::Tool;

use super::assemble::{IMAGE, image_digest};
use super::{ReleaseError, VERSION, names, read, run_tool, sums};

/// What a registry holds now.
#[derive(Debug)]
pub struct Published {
    /// `REGISTRY/ksit@sha256:…`
    pub image: String,
    /// `REGISTRY/charts/ksit@sha256:…`
    pub chart: String,
}

/// Pushes image and chart to `registry`, such as ghcr.io/someone, pulls both and compares them with those in `dist`.
///
/// # Errors
/// If the registry refuses them, has another image under this version, or gives back another content.
pub async fn publish(dist: &Path, registry: &str, plain_http: bool) -> Result<Published, ReleaseError> {
    let image = push_image(dist, registry).await?;
    let chart = push_chart(dist, registry, plain_http).await?;
    Ok(Published { image, chart })
}

async fn push_image(dist: &Path, registry: &str) -> Result<String, ReleaseError> {
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
    let named = format!("{image}@{expected}");
    let pulled = tempfile::tempdir()?;
    run_tool(Tool::Crane, &["pull", "--format=oci", &named, &pulled.path().display().to_string()], &[]).await?;
    same("the pulled image", &image_digest(pulled.path())?, &expected)?;
    same_blobs(&layout, pulled.path())?;
    Ok(named)
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

async fn push_chart(dist: &Path, registry: &str, plain_http: bool) -> Result<String, ReleaseError> {
    let (package, folder) = (dist.join(names::chart()), format!("oci://{}", names::charts(registry)));
    let plain: &[&str] = if plain_http { &["--plain-http"] } else { &[] };
    run_tool(Tool::Helm, &[&["push", &package.display().to_string(), &folder], plain].concat(), &[]).await?;
    let pulled = tempfile::tempdir()?;
    let (chart, destination) = (format!("{folder}/ksit"), pulled.path().display().to_string());
    let pull = ["pull", &chart, "--version", VERSION, "--destination", &destination];
    run_tool(Tool::Helm, &[&pull, plain].concat(), &[]).await?;
    let (expected, found) = (read(&package)?, read(&pulled.path().join(names::chart()))?);
    same("the pulled chart", &sums::hex(&found), &sums::hex(&expected))?;
    let named = format!("{}/ksit", names::charts(registry));
    let digest = run_tool(Tool::Crane, &["digest", &format!("{named}:{VERSION}")], &[]).await?;
    Ok(format!("{named}@{}", digest.trim()))
}

/// Compares two digests.
pub(super) fn same(what: &str, found: &str, expected: &str) -> Result<(), ReleaseError> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what} is {found} instead of {expected}").into()),
    }
}
