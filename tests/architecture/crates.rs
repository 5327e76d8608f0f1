//! The crates of the workspace depend on each other in one direction.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::read;

/// Each crate of the workspace by folder, with the crates of the workspace that its program and its tests may use. The
/// compiler keeps code from using others, as they are not in its manifest.
const MAY_DEPEND_ON: &[(&str, &[&str], &[&str])] = &[
    (".", &[], &["loadtest", "simulator", "testkit"]),
    ("loadtest", &["simulator", "testkit"], &[]),
    ("loadtest/browser", &[], &["testkit"]),
    ("loadtest/simulator", &["testkit"], &[]),
    ("loadtest/testkit", &[], &[]),
    ("loadtest/xtask", &["testkit"], &[]),
];

/// The folders of the workspace's crates.
pub fn members() -> Vec<PathBuf> {
    let manifest = read(Path::new("Cargo.toml"));
    let (_, list) = manifest.split_once("members = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split(',').map(|member| PathBuf::from(member.trim().trim_matches('"'))).collect()
}

/// The package names that a manifest depends on, for its program and for its tests.
fn dependencies(manifest: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut program, mut tests, mut section) = (BTreeSet::new(), BTreeSet::new(), "");
    for line in manifest.lines().map(str::trim) {
        let named = if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            section.split_once("dependencies.").map(|(_, name)| name)
        } else {
            line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty() && section.ends_with("dependencies"))
        };
        let renamed = line.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
        let of_tests = section.contains("dev-dependencies") || section.contains("build-dependencies");
        let known = if of_tests { &mut tests } else { &mut program };
        if !section.starts_with("workspace") {
            known.extend(named.into_iter().chain(renamed).map(str::to_owned));
        }
    }
    (program, tests)
}

#[test]
fn crates_depend_only_on_those_below_them() {
    let names: Vec<String> = members().iter().map(|folder| name(folder)).collect();
    let tabled: Vec<PathBuf> = MAY_DEPEND_ON.iter().map(|(folder, ..)| PathBuf::from(folder)).collect();
    assert_eq!(members(), tabled, "the members in Cargo.toml, and MAY_DEPEND_ON");
    for (folder, program, tests) in MAY_DEPEND_ON {
        let used = dependencies(&read(&Path::new(folder).join("Cargo.toml")));
        for (used, allowed) in [(&used.0, program), (&used.1, tests)] {
            let wrong: Vec<&String> =
                used.iter().filter(|used| names.contains(used) && !allowed.contains(&used.as_str())).collect();
            assert!(wrong.is_empty(), "{folder}/Cargo.toml must not depend on {wrong:?}");
        }
    }
}

/// The name of the package in a folder.
fn name(folder: &Path) -> String {
    let manifest = read(&folder.join("Cargo.toml"));
    let (_, rest) = manifest.split_once("\nname = \"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn dependencies_are_read_in_every_form() {
    let manifest = "[workspace.dependencies]\nnone = \"1\"\n[dependencies]\n# a = 1\nb.workspace = true\nc = \"1\"\n\
                    alias = { path = \"..\", package = \"d\" }\n[dependencies.e]\nversion = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nf = \"1\"\n[dev-dependencies]\ng = { version = \"1\" }\n[lints]\nh = 1\n";
    let (program, tests) = dependencies(manifest);
    let expected = ["#", "alias", "b", "c", "d", "e", "f"].map(str::to_owned);
    assert_eq!((program, tests), (expected.into(), ["g".to_owned()].into()));
}
