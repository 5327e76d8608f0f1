//! Makes of the archives everything else that a release has.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::{Platform, ReleaseError, VERSION, chart, names, plugin, read, sums, write};
use crate::image;
use crate::packing::digest;

/// Folder below the release's, with the image as an OCI layout. It is published to a registry, and no file of the
/// release.
pub(super) const IMAGE: &str = "image";

/// Writes the image, the chart, the manifest of the kubectl plugin and the sums of all files into `dist`, which has the
/// archives and the SBOM. Returns the digest of the image.
///
/// # Errors
/// If an archive for Linux or the SBOM is missing, or a file can't be made.
pub async fn assemble(dist: &Path, revision: Option<&str>) -> Result<String, ReleaseError> {
    let archives = archives(dist)?;
    let programs = archives.iter().filter(|(platform, _)| platform.os == "linux");
    let programs: Vec<Vec<u8>> = programs.map(|(_, bytes)| program(bytes)).collect::<Result<_, _>>()?;
    if programs.is_empty() {
        return Err(format!(
            "{} has no archive for Linux; run `make release-program release-archives`",
            dist.display()
        )
        .into());
    }
    read(&dist.join(names::sbom()))?;
    let layout = image::layout(&programs, VERSION, revision)?;
    write_layout(&dist.join(IMAGE), &layout.files)?;
    chart::package(dist).await?;
    let digests: BTreeMap<String, String> =
        archives.iter().map(|(one, bytes)| (one.archive(), sums::hex(bytes))).collect();
    let platforms: Vec<Platform> = archives.iter().map(|(platform, _)| *platform).collect();
    write(&dist.join("ksit.yaml"), plugin::manifest(&platforms, &digests)?)?;
    write(&dist.join(sums::FILE), sums::of(dist)?)?;
    Ok(layout.digest)
}

/// The archives that are there.
pub(super) fn archives(dist: &Path) -> Result<Vec<(Platform, Vec<u8>)>, ReleaseError> {
    let there = Platform::ALL.into_iter().filter(|platform| dist.join(platform.archive()).exists());
    there.map(|platform| Ok((platform, read(&dist.join(platform.archive()))?))).collect()
}

/// The program in an archive.
pub(super) fn program(archive: &[u8]) -> Result<Vec<u8>, ReleaseError> {
    for entry in tar::Archive::new(GzDecoder::new(archive)).entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with("ksit") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    Err("an archive has no file ksit".into())
}

fn write_layout(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), ReleaseError> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder.join("blobs/sha256"))?;
    files.iter().try_for_each(|(path, bytes)| write(&folder.join(path), bytes))
}

/// The digest of the image in a layout.
pub(super) fn image_digest(layout: &Path) -> Result<String, ReleaseError> {
    let index: serde_json::Value = serde_json::from_slice(&read(&layout.join("index.json"))?)?;
    let named = index["manifests"][0]["digest"].as_str().unwrap_or_default().to_owned();
    let blob = read(&layout.join("blobs").join(named.replace(':', "/")))?;
    match digest(&blob) == named {
        true => Ok(named),
        false => Err(format!("{}: the content of {named} is another", layout.display()).into()),
    }
}
