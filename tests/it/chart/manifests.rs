//! `deploy/`: the chart with its defaults as plain manifests. `make manifests` rewrites it with KSIT_UPDATE=1.

use std::collections::{BTreeMap, BTreeSet};

use super::helm::{NAMESPACE, rendered, root};

const HEAD: &str = "# Made from chart/ by `make manifests`.\n";

/// Labels of Helm's ownership, which plain manifests don't have.
const HELM_LABELS: [&str; 2] = ["app.kubernetes.io/managed-by: Helm", "helm.sh/chart: "];

/// The documents of each template by file name, without CRDs, which are in `crds/`, and hooks.
fn by_template(text: &str) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for document in text.split("\n---\n") {
        let document = document.trim_start_matches("---\n");
        let Some((source, body)) = document.split_once('\n') else { continue };
        let Some(template) = source.strip_prefix("# Source: ksit/templates/") else { continue };
        if template.starts_with("crd-") || template.starts_with("tests/") {
            continue;
        }
        let lines = body.lines().filter(|line| !HELM_LABELS.iter().any(|label| line.trim_start().starts_with(label)));
        let body = lines.collect::<Vec<_>>().join("\n");
        let file = files.entry(template.to_owned()).or_insert_with(|| HEAD.to_owned());
        file.push_str(&format!("---\n{}\n", body.trim()));
    }
    files
}

#[tokio::test]
async fn deploy_folder_matches_the_rendered_chart() {
    let mut files = by_template(&rendered(NAMESPACE, &[]).await);
    let namespace = format!(
        "{HEAD}---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n"
    );
    // Sorts first, so `kubectl apply -f deploy/` creates it first.
    files.insert("00-namespace.yaml".to_owned(), namespace);
    let folder = root().join("deploy");
    let update = std::env::var_os("KSIT_UPDATE").is_some();
    for (name, expected) in &files {
        let path = folder.join(name);
        if update {
            std::fs::write(&path, expected).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(&stored, expected, "deploy/{name}: run `make manifests`");
    }
    let stored: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(stored, files.into_keys().collect());
}
