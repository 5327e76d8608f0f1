//! `SHA256SUMS`, as `sha256sum --check` reads it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{ReleaseError, read};
use crate::packing::digest;

/// Name of the file.
pub(super) const FILE: &str = "SHA256SUMS";

/// The sum in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    digest(bytes).trim_start_matches("sha256:").to_owned()
}

/// The sums of all files in `dist`.
///
/// # Errors
/// If a file can't be read.
pub(super) fn of(dist: &Path) -> Result<String, ReleaseError> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dist)? {
        let entry = entry?;
        let name = entry.file_name().display().to_string();
        if entry.file_type()?.is_file() && name != FILE {
            names.insert(name);
        }
    }
    names.iter().map(|name| Ok(format!("{}  {name}\n", hex(&read(&dist.join(name))?)))).collect()
}

/// Checks the sums.
///
/// # Errors
/// If a file is missing, has another content, or has no sum.
pub(super) fn check(dist: &Path) -> Result<(), ReleaseError> {
    let (stored, present) = (String::from_utf8(read(&dist.join(FILE))?)?, of(dist)?);
    match stored == present {
        true => Ok(()),
        false => Err(format!("{FILE} has\n{stored}but the files are\n{present}").into()),
    }
}
