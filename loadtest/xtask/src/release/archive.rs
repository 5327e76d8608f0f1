//! The archive of a program with its pages, completions, licence and README.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::kind::run;

use super::{Platform, ReleaseError, read, root, time, write};
use crate::packing::{gzip, tar_of};

/// Shells with a completion, and the name of its file.
const SHELLS: [(&str, &str); 3] = [("bash", "ksit.bash"), ("fish", "ksit.fish"), ("zsh", "_ksit")];

/// Writes the archives of all `programs/TARGET/ksit`, and returns their paths.
///
/// # Errors
/// If there is none for this machine, a target is not one of a release, or a file can't be read or written.
pub async fn make_all(programs: &Path, dist: &Path) -> Result<Vec<PathBuf>, ReleaseError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(programs).map_err(|error| format!("--programs: {}: {error}", programs.display()))? {
        let entry = entry?;
        let target = entry.file_name().display().to_string();
        let platform = Platform::of_target(&target).map_err(|error| format!("--programs: {target}: {error}"))?;
        found.push((platform, entry.path().join("ksit")));
    }
    let host = Platform::host()?;
    let (_, own) = found.iter().find(|(platform, _)| *platform == host).ok_or("--programs: none for this machine")?;
    let mut archives = Vec::new();
    for (platform, program) in &found {
        archives.push(make(program, *platform, own, dist).await?);
    }
    Ok(archives)
}

/// Writes the archive of a program. `pages_by` is the same program for this machine, which prints pages and completions.
///
/// # Errors
/// If that does not run, or a file can't be read or written.
pub(super) async fn make(
    program: &Path,
    platform: Platform,
    pages_by: &Path,
    dist: &Path,
) -> Result<PathBuf, ReleaseError> {
    let mut files = vec![("ksit".to_owned(), read(program)?, 0o755)];
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        files.push((name.to_owned(), read(&root().join(name))?, 0o644));
    }
    let ksit = async |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        run(&pages_by.display().to_string(), &arguments, &[]).await
    };
    for (shell, file) in SHELLS {
        files.push((format!("completions/{file}"), ksit(&["completion", shell]).await?.into_bytes(), 0o644));
    }
    let pages = tempfile::tempdir()?;
    ksit(&["man", "--out", &pages.path().display().to_string()]).await?;
    for entry in fs::read_dir(pages.path())? {
        let entry = entry?;
        files.push((format!("man/man1/{}", entry.file_name().display()), read(&entry.path())?, 0o644));
    }
    files.sort();
    let folder = platform.folder();
    let named: Vec<(String, &[u8], u32)> =
        files.iter().map(|(name, bytes, mode)| (format!("{folder}/{name}"), bytes.as_slice(), *mode)).collect();
    let borrowed: Vec<(&str, &[u8], u32)> =
        named.iter().map(|(name, bytes, mode)| (name.as_str(), *bytes, *mode)).collect();
    fs::create_dir_all(dist)?;
    let path = dist.join(platform.archive());
    write(&path, gzip(&tar_of(&borrowed, time())?)?)?;
    Ok(path)
}
