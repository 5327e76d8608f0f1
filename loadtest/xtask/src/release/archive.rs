//! The archive of a program with its pages, completions, licence and README.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::kind::run;

use super::{Platform, ReleaseError, read, root, time, write};
use crate::packing::{gzip, tar_of};

/// Shells with a completion, and the name of its file.
const SHELLS: [(&str, &str); 3] = [("bash", "ksit.bash"), ("fish", "ksit.fish"), ("zsh", "_ksit")];

/// Writes the archive of a program, which must run on this machine: it prints its own pages and completions.
///
/// # Errors
/// If the program does not run, or a file can't be read or written.
pub async fn make(program: &Path, platform: Platform, dist: &Path) -> Result<PathBuf, ReleaseError> {
    let mut files = vec![("ksit".to_owned(), read(program)?, 0o755)];
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        files.push((name.to_owned(), read(&root().join(name))?, 0o644));
    }
    let ksit = async |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        run(&program.display().to_string(), &arguments, &[]).await
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
