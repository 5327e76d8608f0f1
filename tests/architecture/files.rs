//! Files are short, belong to a crate, and match the code if they are generated.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::modules::sources;
use crate::{crates, read, root, rust_files};

/// Line limit of a source file.
const MAX_LINES: usize = 400;

/// Folders with Rust code.
const FOLDERS: [&str; 3] = ["src", "tests", "loadtest"];

/// Root files of crates that cargo does not find by itself.
const NAMED_ROOTS: [&str; 1] = ["loadtest/sizing/main.rs"];

#[test]
fn files_stay_below_the_line_limit() {
    let long: Vec<String> = FOLDERS
        .into_iter()
        .flat_map(rust_files)
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// A file without a `mod` line is never compiled, and its tests never run.
#[test]
fn files_are_all_part_of_a_crate() {
    let reached: BTreeSet<PathBuf> =
        crate_roots().iter().flat_map(|path| sources(path)).map(|source| source.path).collect();
    let all = FOLDERS.into_iter().flat_map(rust_files);
    let orphans: Vec<String> =
        all.filter(|path| !reached.contains(path)).map(|path| path.display().to_string()).collect();
    assert!(orphans.is_empty(), "no mod line declares {}", orphans.join(", "));
}

/// Root files of the libraries, programs and tests of all packages.
fn crate_roots() -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = NAMED_ROOTS.iter().map(PathBuf::from).collect();
    for package in crates::members() {
        // Without the `./` of the top folder.
        let package = package.strip_prefix(".").unwrap_or(&package).to_owned();
        roots.extend(["src/lib.rs", "src/main.rs"].map(|path| package.join(path)));
        let tests = fs::read_dir(root().join(&package).join("tests")).into_iter().flatten();
        let names = tests.map(|entry| package.join("tests").join(entry.unwrap().file_name()));
        roots.extend(names.map(|path| if path.extension().is_some() { path } else { path.join("main.rs") }));
    }
    roots.retain(|path| root().join(path).is_file());
    roots
}

/// `make manifests` rewrites them.
#[test]
fn crds_match_the_code() {
    let mut expected = BTreeSet::new();
    for crd in ksit::api::crds::all() {
        let name = format!("ksit.io_{}.yaml", crd.spec.names.plural);
        let stored = fs::read_to_string(root().join("crds").join(&name)).unwrap();
        assert_eq!(stored, ksit::api::crds::to_yaml(&crd).unwrap(), "crds/{name}: run `make manifests`");
        expected.insert(name);
    }
    let stored: BTreeSet<String> = fs::read_dir(root().join("crds"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(stored, expected);
}

#[test]
fn make_help_lists_every_target() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let is_target = |line: &&str| {
        line.split(':').next().is_some_and(|name| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && line.contains(':')
        })
    };
    let undocumented: Vec<&str> =
        makefile.lines().filter(is_target).filter(|line| !line.contains("## ") && !line.contains(":=")).collect();
    assert!(undocumented.is_empty(), "targets without a `## description`: {undocumented:?}");
}
