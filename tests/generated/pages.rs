//! Links and paths on the pages exist.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::{docs, files, read, root};

/// Pages besides those of `docs`.
const PAGES: [&str; 7] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "chart/README.md",
    "examples/README.md",
];

/// Text between backticks with one of these prefixes, and without a placeholder, is a path of the repository.
const FOLDERS: [&str; 12] = [
    "src/",
    "tests/",
    "loadtest/",
    "chart/",
    "docs/",
    "crds/",
    "deploy/",
    "examples/",
    ".ci/",
    ".cargo/",
    ".github/",
    ".devcontainer/",
];

fn pages() -> Vec<PathBuf> {
    PAGES.iter().map(PathBuf::from).chain(docs()).collect()
}

/// A page without its code blocks.
fn prose(page: &Path) -> String {
    let mut is_block = false;
    let text = read(page.to_str().unwrap());
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_block ^= is_fence;
        !is_block && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn paths(prose: &str) -> impl Iterator<Item = &str> {
    let is_plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte));
    let is_path = |text: &&str| FOLDERS.iter().any(|folder| text.starts_with(folder));
    prose.split('`').skip(1).step_by(2).filter(is_path).filter(is_plain)
}

/// Link targets within the repository, as file and anchor; the file is empty for the page itself.
fn links(prose: &str) -> impl Iterator<Item = (&str, &str)> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let inside = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    inside.map(|target| target.split_once('#').unwrap_or((target, "")))
}

/// Anchors of a page's headings, as GitHub generates them.
fn anchors(prose: &str) -> BTreeSet<String> {
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Joins `folder` and `link`, and resolves `..`.
fn joined(folder: &Path, link: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in folder.join(link).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    path
}

#[test]
fn pages_name_existing_paths() {
    let mut missing = Vec::new();
    for page in pages() {
        for path in paths(&prose(&page)) {
            if !root().join(path).exists() {
                missing.push(format!("{}: `{path}`", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no such file or folder; use the present path:\n{}", missing.join("\n"));
}

#[test]
fn pages_link_to_existing_pages() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = prose(&page);
        for (file, anchor) in links(&text) {
            let target = if file.is_empty() { page.clone() } else { joined(page.parent().unwrap(), file) };
            let is_there = root().join(&target).exists();
            if !is_there || (!anchor.is_empty() && !anchors(&prose(&target)).contains(anchor)) {
                dead.push(format!("{}: ({file}#{anchor})", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn summary_lists_every_page_of_docs() {
    let summary = prose(Path::new("docs/SUMMARY.md"));
    let listed: BTreeSet<PathBuf> = links(&summary).map(|(file, _)| joined(Path::new("docs"), file)).collect();
    let pages: BTreeSet<PathBuf> = docs().into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(listed, pages);
}

#[test]
fn alerts_page_has_a_heading_for_every_alert() {
    let rules = read("chart/files/rules.yaml");
    let alerts: BTreeSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_lowercase).collect();
    assert!(!alerts.is_empty());
    let headings = anchors(&prose(Path::new("docs/guides/alerts.md")));
    let missing: Vec<&String> = alerts.difference(&headings).collect();
    assert!(missing.is_empty(), "alerts without a heading, to which their runbook_url leads: {missing:?}");
}

#[test]
fn pages_index_lists_every_decision() {
    let index = prose(Path::new("docs/decisions/README.md"));
    let linked: BTreeSet<&str> = links(&index).map(|(file, _)| file).filter(|file| file.starts_with('0')).collect();
    let records =
        files("docs/decisions").into_iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let records: BTreeSet<String> = records.filter(|name| name != "README.md").collect();
    assert_eq!(linked, records.iter().map(String::as_str).collect());
    for record in &records {
        let lines = read(&format!("docs/decisions/{record}")).lines().count();
        assert!(lines < 40, "{record} has {lines} lines; a record has fewer than 40");
    }
}
