//! A module uses only the layers below it, and `domain` only decides.

use std::path::Path;

use crate::modules::{Source, sources};
use crate::paths::paths;

/// Each module of the crate, and the modules that it may use. Dependencies point down the layers.
const MAY_USE: &[(&str, &[&str])] = &[
    ("cli", &["api", "controllers", "domain", "history", "hub", "lists", "observability", "targets", "ui"]),
    ("ui", &["api", "domain", "history", "hub", "lists"]),
    ("history", &["api", "domain"]),
    ("lists", &["api", "domain"]),
    ("controllers", &["api", "clouds", "domain", "hub", "observability", "receivers", "reports", "targets"]),
    ("hub", &["api", "domain"]),
    ("receivers", &["domain", "targets"]),
    ("reports", &["domain"]),
    ("targets", &["domain"]),
    ("observability", &["domain"]),
    ("api", &["domain"]),
    ("clouds", &["domain"]),
    ("domain", &[]),
];

/// Forbidden in `domain`: I/O, clocks, runtimes, randomness, clients, logs. `Timestamp::now` also behind another path.
const NOT_IN_DOMAIN: &[&[&str]] = &[
    &["tokio"],
    &["kube"],
    &["k8s_openapi"],
    &["hyper"],
    &["tracing"],
    &["rand"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["jiff", "Timestamp", "now"],
    &["jiff", "Zoned", "now"],
];

/// The files of the library but `lib.rs`, which only declares modules.
fn library() -> Vec<Source> {
    let mut files = sources(Path::new("src/lib.rs"));
    files.retain(|source| !source.module.is_empty());
    files
}

/// The paths of the crate in a file that its module must not use. The root itself is one: an alias of it, or a glob.
fn wrong_layers(file: &syn::File, module: &[String]) -> Vec<String> {
    let own = module[0].as_str();
    let allowed = MAY_USE.iter().find(|(name, _)| *name == own).map(|(_, allowed)| *allowed);
    let Some(allowed) = allowed else { return vec![format!("{own} is not in MAY_USE")] };
    let paths = paths(file, module).into_iter().filter(|path| path[0] == "crate");
    let is_wrong = |path: &Vec<String>| path.get(1).is_none_or(|used| used != own && !allowed.contains(&used.as_str()));
    paths.filter(is_wrong).map(|path| format!("{own} must not use {}", path.join("::"))).collect()
}

/// The paths in a file of `domain` that lead out of it.
fn effects(file: &syn::File, module: &[String]) -> Vec<String> {
    let is_below = |path: &[String], forbidden: &[&str]| path.iter().zip(forbidden).all(|(a, b)| a == b);
    let is_forbidden = |path: &Vec<String>| {
        let is_glob = path.last().is_some_and(|last| last == "*");
        // A glob of `std::time` would bring its `Instant`.
        let shown = if is_glob { &path[..path.len() - 1] } else { path };
        let is_named = |forbidden: &&[&str]| (is_glob || shown.len() >= forbidden.len()) && is_below(shown, forbidden);
        NOT_IN_DOMAIN.iter().any(is_named) || path.ends_with(&["Timestamp", "now"].map(Into::into))
    };
    paths(file, module).into_iter().filter(is_forbidden).map(|path| path.join("::")).collect()
}

fn assert_none(wrong: impl Fn(&Source) -> Vec<String>, files: &[Source]) {
    let all =
        files.iter().flat_map(|file| wrong(file).into_iter().map(|what| format!("{}: {what}", file.path.display())));
    let all: Vec<String> = all.collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn modules_use_only_the_layers_below_them() {
    let files = library();
    assert!(files.len() > 100, "{} files are read", files.len());
    assert_none(|source| wrong_layers(&source.file, &source.module), &files);
}

#[test]
fn domain_does_no_io_and_reads_no_clock() {
    let mut files = library();
    files.retain(|source| source.module[0] == "domain");
    assert!(files.len() > 30, "{} files are read", files.len());
    assert_none(|source| effects(&source.file, &source.module), &files);
}

fn module(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

#[test]
fn layers_cannot_be_evaded() {
    for code in [
        "use crate::hub::watch;",
        "use crate::{domain::slot, hub};",
        "use super::super::hub;",
        "use super::super::{self as top};",
        "use crate as top; fn f() { top::hub::go() }",
        "use crate::*;",
        "fn f() { crate::hub::go() }",
        "fn f() { assert!(super::super::hub::ok()) }",
        "mod tests { use super::super::super::reports; }",
        "#[serde(with = \"crate::api::time\")] struct A;",
        "use crate::no_such_module;",
    ] {
        assert!(!wrong_layers(&syn::parse_file(code).unwrap(), &module("targets::wire")).is_empty(), "{code}");
    }
    for code in ["use crate::{domain, targets::wire};", "use super::pool; mod tests { use super::*; }", "use hub::Hub;"]
    {
        let wrong = wrong_layers(&syn::parse_file(code).unwrap(), &module("targets::wire"));
        assert!(wrong.is_empty(), "{code}: {wrong:?}");
    }
}

#[test]
fn effects_cannot_be_hidden_in_domain() {
    for code in [
        "use std::{fs, fmt};",
        "use std::time::{Duration, Instant};",
        "use std::time; fn f() { time::SystemTime::now() }",
        "use std::time::*;",
        "use std::*;",
        "use std as s; fn f() { s::env::var(x) }",
        "use jiff::Timestamp; fn f() { Timestamp::now() }",
        "use super::Timestamp; fn f() { assert!(Timestamp::now() > x) }",
        "fn f() { ::tokio::spawn(x) }",
        "fn f() { tracing::info!(\"x\") }",
        "#[derive(kube::CustomResource)] struct A;",
        "extern crate rand;",
    ] {
        assert!(!effects(&syn::parse_file(code).unwrap(), &module("domain::slot")).is_empty(), "{code}");
    }
    for code in
        ["use std::time::Duration;", "use jiff::{Timestamp, ToSpan};", "use std::collections::*;", "use super::*;"]
    {
        let wrong = effects(&syn::parse_file(code).unwrap(), &module("domain::slot"));
        assert!(wrong.is_empty(), "{code}: {wrong:?}");
    }
}
