//! Rules of the code that the compiler does not check: which module may use which, the length of files, that every
//! file belongs to the crate, and that generated files match the code.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic with its location")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Line limit of a source file.
const MAX_FILE_LINES: usize = 400;

/// Each module of the crate, and the modules that it may use. Dependencies point down the layers.
const MAY_USE: &[(&str, &[&str])] = &[
    ("cli", &["api", "controllers", "domain", "hub", "observability", "targets"]),
    ("controllers", &["api", "domain", "hub", "observability", "reports", "targets"]),
    ("hub", &["api", "domain"]),
    ("reports", &["domain"]),
    ("targets", &["domain"]),
    ("observability", &["domain"]),
    ("api", &["domain"]),
    ("domain", &[]),
];

/// Forbidden in decisions: I/O, clocks, runtimes, randomness, clients.
const NOT_IN_DOMAIN: &[&str] =
    &["tokio", "kube::", "k8s_openapi", "hyper", "std::fs", "std::net", "Instant::now", "Timestamp::now", "rand::"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, as a path from the root.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The modules of this crate that `text` names in `use` lines and in paths, outside of comments.
fn modules_named(text: &str) -> BTreeSet<&str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .filter(|name| !name.is_empty())
        .collect()
}

fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("src").ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

#[test]
fn modules_use_only_the_layers_below_them() {
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let Some((module, allowed)) = MAY_USE.iter().find(|(module, _)| module_of(&path).as_deref() == Some(module))
        else {
            assert!(
                ["src/lib.rs", "src/main.rs"].contains(&path.to_str().unwrap()),
                "{} is in no module of MAY_USE",
                path.display()
            );
            continue;
        };
        for used in modules_named(&read(&path)) {
            let is_module = MAY_USE.iter().any(|(module, _)| *module == used);
            if is_module && used != *module && !allowed.contains(&used) {
                wrong.push(format!("{}: {module} must not use {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn domain_does_no_io_and_reads_no_clock() {
    let mut wrong = Vec::new();
    for path in rust_files("src/domain") {
        for word in NOT_IN_DOMAIN {
            let code = read(&path);
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            if code.join("\n").contains(word) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_below_the_line_limit() {
    let all = ["src", "tests", "loadtest"].into_iter().flat_map(rust_files);
    let long: Vec<String> = all
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > MAX_FILE_LINES)
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// A file without a `mod` line is never compiled, and its tests never run.
#[test]
fn files_are_all_part_of_the_crate() {
    let mut orphans = Vec::new();
    let harness = ["loadtest/src", "loadtest/simulator/src", "loadtest/testkit/src", "loadtest/xtask/src"];
    for folder in ["src", "tests/generated", "tests/it"].into_iter().chain(harness) {
        for path in rust_files(folder) {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let parent = path.parent().unwrap();
            if (parent == Path::new(folder) && ["lib", "main", "it"].contains(&stem))
                || folder == path.to_str().unwrap()
            {
                continue;
            }
            let (name, owner) = match stem {
                "mod" => (parent.file_name().unwrap().to_str().unwrap(), parent.parent().unwrap()),
                _ => (stem, parent),
            };
            if !owners(owner).iter().any(|owner| declares(&read(owner), name)) {
                orphans.push(path.display().to_string());
            }
        }
    }
    assert!(orphans.is_empty(), "no mod line declares {}", orphans.join(", "));
}

/// The files that may declare the modules in `folder`.
fn owners(folder: &Path) -> Vec<PathBuf> {
    let inside = ["mod.rs", "lib.rs", "main.rs"].map(|name| folder.join(name));
    let beside = folder.with_extension("rs");
    let tests_beside = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let siblings = tests_beside.map(|path| path.strip_prefix(root()).unwrap().to_owned());
    inside.into_iter().chain([beside]).chain(siblings).filter(|path| root().join(path).is_file()).collect()
}

fn declares(text: &str, name: &str) -> bool {
    let by_path = format!("#[path = \"{name}.rs\"]");
    text.lines().map(str::trim).any(|line| {
        let bare = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        bare == format!("mod {name};") || line == by_path
    })
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
