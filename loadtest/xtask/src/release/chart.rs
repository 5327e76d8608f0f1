//! The packaged chart.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use testkit::Tool;

use super::{ReleaseError, VERSION, names, read, root, run_tool, time, write};
use crate::packing::{gzip, tar_of};

/// Packages the chart. Helm stamps the time of the day on each file, so the package is made again without.
///
/// # Errors
/// If Helm refuses the chart.
pub(super) async fn package(dist: &Path) -> Result<(), ReleaseError> {
    let made = tempfile::tempdir()?;
    let (chart, folder) = (root().join("chart").display().to_string(), made.path().display().to_string());
    let arguments = ["package", &chart, "--version", VERSION, "--app-version", VERSION, "--destination", &folder];
    run_tool(Tool::Helm, &arguments, &[]).await?;
    let package = read(&made.path().join(names::chart()))?;
    fs::create_dir_all(dist)?;
    write(&dist.join(names::chart()), with_time(&package, time())?)
}

/// The same files in the same order, all with `time`.
fn with_time(package: &[u8], time: u64) -> Result<Vec<u8>, ReleaseError> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(GzDecoder::new(package)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.push((path, content));
    }
    let files: Vec<(&str, &[u8], u32)> =
        files.iter().map(|(path, content)| (path.as_str(), content.as_slice(), 0o644)).collect();
    Ok(gzip(&tar_of(&files, time)?)?)
}
