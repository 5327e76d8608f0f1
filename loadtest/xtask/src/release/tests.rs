use std::collections::BTreeMap;

use serde_json::Value;

use super::names::{check_tag, image, registry};
use super::registry::address;
use super::{Platform, VERSION, plugin, sums};

#[test]
fn platform_is_that_of_the_target() {
    let name = |target: &str| Platform::of_target(target).map(Platform::archive);
    assert_eq!(name("x86_64-unknown-linux-gnu").unwrap(), format!("ksit-{VERSION}-linux-amd64.tar.gz"));
    assert_eq!(name("aarch64-apple-darwin").unwrap(), format!("ksit-{VERSION}-darwin-arm64.tar.gz"));
    for target in ["", "x86_64", "riscv64-unknown-linux-gnu", "x86_64-pc-windows-msvc"] {
        assert!(name(target).is_err(), "{target}");
    }
}

#[test]
fn tag_must_be_the_version_of_the_repository() {
    check_tag(&format!("v{VERSION}"), None).unwrap();
    let refused = |tag: &str, repository| check_tag(tag, repository).unwrap_err().to_string();
    assert!(refused(VERSION, None).contains("is not v"));
    assert!(refused("v99.0.0", None).contains("change `version` in Cargo.toml"));
    assert!(refused(&format!("v{VERSION}"), Some("fork/ksit")).contains("set it to https://github.com/fork/ksit"));
}

#[test]
fn image_is_published_below_the_owner_of_the_repository() {
    let owner = env!("CARGO_PKG_REPOSITORY").rsplit('/').nth(1).unwrap();
    assert_eq!(image(&registry()), format!("ghcr.io/{owner}/ksit"));
}

#[test]
fn plugin_has_each_platform_with_its_sum() {
    let platforms = [Platform::ALL[0], Platform::ALL[3]];
    let digests: BTreeMap<String, String> = platforms.iter().map(|one| (one.archive(), one.arch.repeat(2))).collect();
    let manifest: Value = serde_saphyr::from_str(&plugin::manifest(&platforms, &digests).unwrap()).unwrap();
    let listed = manifest["spec"]["platforms"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[1]["sha256"], &listed[1]["selector"]["matchLabels"]["os"]),
        (&"arm64arm64".into(), &"darwin".into())
    );
    assert!(listed[0]["uri"].as_str().unwrap().ends_with(&format!("/v{VERSION}/ksit-{VERSION}-linux-amd64.tar.gz")));
    let error = plugin::manifest(&platforms, &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("linux-amd64.tar.gz has no sum"), "{error}");
}

#[test]
fn changed_missing_and_added_files_are_noticed() {
    let dist = tempfile::tempdir().unwrap();
    let file = |name: &str| dist.path().join(name);
    std::fs::write(file("a"), "1").unwrap();
    std::fs::write(file(sums::FILE), sums::of(dist.path()).unwrap()).unwrap();
    sums::check(dist.path()).unwrap();
    std::fs::write(file("b"), "").unwrap();
    assert!(sums::check(dist.path()).is_err(), "added");
    std::fs::remove_file(file("b")).unwrap();
    std::fs::write(file("a"), "2").unwrap();
    assert!(sums::check(dist.path()).is_err(), "changed");
    std::fs::remove_file(file("a")).unwrap();
    assert!(sums::check(dist.path()).is_err(), "missing");
}

#[test]
fn registry_address_is_read_from_a_whole_line() {
    let line = "time=\"2026-01-01\" level=info msg=\"listening on 127.0.0.1:40123\" go.version=go1.26";
    assert_eq!(address(line).unwrap(), "127.0.0.1:40123");
    assert_eq!(address("msg=\"listening on 127.0.0.1:401"), None);
    assert_eq!(address("starting"), None);
}

#[test]
fn workflow_builds_each_platform_by_targets_of_make() {
    let (workflow, makefile) =
        (include_str!("../../../../.github/workflows/release.yml"), include_str!("../../../../Makefile"));
    let after = |line: &'static str, word: &str| Some(line.split_once(word)?.1.split([' ', '}']).next()?.trim());
    let targets: Vec<&str> = workflow.lines().filter_map(|line| after(line, "target: ")).collect();
    let mut built: Vec<String> = targets.iter().map(|target| Platform::of_target(target).unwrap().archive()).collect();
    let mut all = Platform::ALL.map(Platform::archive);
    built.sort();
    all.sort();
    assert_eq!(built, all);
    for step in
        workflow.lines().filter_map(|line| line.split_once("make ")?.1.split(' ').find(|word| !word.starts_with('-')))
    {
        assert!(makefile.contains(&format!("\n{step}: ")) || makefile.contains(&format!("\n{step}:\n")), "make {step}");
    }
}
