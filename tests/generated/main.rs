//! Compares generated files with the code, and pages with the repository. `make manifests` runs these tests with
//! KSIT_UPDATE=1, which makes them write the files instead.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic with its location")]

mod chart;
mod cli;
mod commands;
mod pages;
mod reference;
mod target_rights;
mod values;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every file below `folder`, as a path from the root.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every page of `docs`.
pub fn docs() -> Vec<PathBuf> {
    files("docs").into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

/// Asserts that the file is `expected`.
pub fn generated(path: &str, expected: &str) {
    let full = root().join(path);
    if std::env::var_os("KSIT_UPDATE").is_some() {
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        return fs::write(full, expected).unwrap();
    }
    let stored = fs::read_to_string(&full).unwrap_or_default();
    assert_eq!(stored, expected, "{path}: run `make manifests`");
}

/// Asserts that the text between the marks `<!-- NAME -->` and `<!-- /NAME -->` of a file is `expected`.
pub fn generated_between(path: &str, name: &str, expected: &str) {
    let text = read(path);
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&open).unwrap_or_else(|| panic!("{path} has no mark {open}"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("{path} has no mark {close}"));
    generated(path, &format!("{before}{open}{expected}{close}{after}"));
}
