//! Describes the components of each tool, for `ksit check --list-types` and the README.

use std::collections::BTreeSet;

use super::table::table;
use crate::domain::component::{ComponentKind, Presence};
use crate::domain::integrations::{Part, Tool};

/// One line per component of each tool.
pub fn list(tools: &[&Tool]) -> String {
    let rows: Vec<Vec<String>> = tools.iter().flat_map(|tool| tool.parts.iter().map(|part| row(tool, part))).collect();
    table(&["TYPE", "NAMESPACE", "COMPONENT", "EXPECTED", "FOUND BY"], &rows)
}

/// One line per tool, in Markdown.
pub fn markdown(tools: &[&Tool]) -> String {
    let mut text = "| type | tool | namespace | required | optional |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for tool in tools {
        let Tool { name, title, namespace, .. } = tool;
        let (required, optional) = (markdown_names(tool, false), markdown_names(tool, true));
        text.push_str(&format!("| `{name}` | {title} | `{namespace}` | {required} | {optional} |\n"));
    }
    text
}

/// The required or the optional components, by kind.
fn markdown_names(tool: &Tool, optional: bool) -> String {
    let of_kind = |kind: ComponentKind| {
        let parts = tool.parts.iter().filter(|part| part.kind == kind && is_optional(part) == optional);
        let names: Vec<&str> = parts.map(|part| part.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{}: {}", short(kind), names.join(", ")))
    };
    let all: BTreeSet<ComponentKind> = tool.parts.iter().map(|part| part.kind).collect();
    let kinds: Vec<String> = all.into_iter().filter_map(of_kind).collect();
    if kinds.is_empty() { "–".to_owned() } else { kinds.join("; ") }
}

fn row(tool: &Tool, part: &Part) -> Vec<String> {
    let namespace = if part.kind.is_cluster_scoped() { "-" } else { part.namespace.as_ref().unwrap_or(&tool.namespace) };
    let kinds: Vec<&str> = part.kinds().map(short).collect();
    vec![
        tool.name.clone(),
        namespace.to_owned(),
        format!("{}/{}", kinds.join("|"), part.name),
        if is_optional(part) { "optional" } else { "required" }.to_owned(),
        found_by(part),
    ]
}

/// Alternative label selectors and names; `!=` for a value that a label must not have.
fn found_by(part: &Part) -> String {
    let pair = |(key, value): (&String, &String)| match value.strip_prefix('!') {
        Some(unwanted) => format!("{key}!={unwanted}"),
        None => format!("{key}={value}"),
    };
    let selectors = part.finder.labels.iter().map(|set| set.iter().map(pair).collect::<Vec<_>>().join(","));
    let named = part.finder.names.iter().map(|name| format!("name {name}"));
    selectors.chain(named).collect::<Vec<_>>().join(" or ")
}

fn is_optional(part: &Part) -> bool {
    part.presence == Presence::Optional
}

fn short(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Crd => "CRD",
        kind => kind.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::catalogue;

    #[test]
    fn list_shows_required_components_and_their_selectors() {
        let list = list(catalogue::tools());
        let words: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
        let server = words.iter().find(|words| words[2] == "Deployment/argocd-server").unwrap();
        assert_eq!(server[..4], ["argocd", "argocd", "Deployment/argocd-server", "required"]);
        assert_eq!(server[4..].join(" "), "app.kubernetes.io/name=argocd-server or name argocd-server");
        assert!(list.contains("istio!=egressgateway"), "{list}");
        assert!(list.contains("CRD/certificates.cert-manager.io"), "{list}");
    }
}
