//! Commands that look further into a fault.

use crate::api::IntegrationResult;
use crate::lists::ClusterRow;

/// Commands that one tool gets.
const MAX_COMMANDS: usize = 4;

/// The commands that show more about a tool that does not work; none for one that works. They assume a context that is
/// called like the cluster.
pub(super) fn commands(row: &ClusterRow, cluster_name: &str, tool: &IntegrationResult) -> Vec<String> {
    if tool.phase == "Running" || row.unreachable.is_some() {
        return Vec::new();
    }
    let context = word(cluster_name);
    let described = tool.components.iter().filter(|part| part.state != "Healthy").map(|part| {
        let namespace = part.namespace.as_ref().map(|name| format!(" -n {}", word(name))).unwrap_or_default();
        format!(
            "kubectl --context {context}{namespace} describe {} {}",
            word(&part.kind.to_lowercase()),
            word(&part.name)
        )
    });
    let failing = tool.resources.iter().flat_map(|counts| {
        counts.worst.iter().take(1).map(|object| {
            let namespace = object.namespace.as_ref().map(|name| format!(" -n {}", word(name))).unwrap_or_default();
            let kind = word(&counts.kind.to_lowercase());
            format!("kubectl --context {context}{namespace} describe {kind} {}", word(&object.name))
        })
    });
    let mut all: Vec<String> = described.chain(failing).take(MAX_COMMANDS - 1).collect();
    all.push(format!("ksit target {} -n {}", word(&row.name), word(&row.namespace)));
    all
}

/// A word of a shell command. Names from a cluster could be commands of their own.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::IntegrationTarget;

    #[test]
    fn command_describes_what_is_broken() {
        let target: IntegrationTarget = serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1",
            "kind": "IntegrationTarget", "metadata": {"name": "berlin", "namespace": "fleet"}, "spec": {"clusterName": "b"}}))
        .unwrap();
        let tool: IntegrationResult = serde_json::from_value(json!({"name": "argocd", "type": "argocd", "phase": "Failed",
            "components": [{"kind": "Deployment", "namespace": "argocd", "name": "argocd-server", "state": "NotReady"}]}))
        .unwrap();
        let row = ClusterRow::from(&target);
        assert_eq!(
            commands(&row, "a b", &tool),
            ["kubectl --context 'a b' -n argocd describe deployment argocd-server", "ksit target berlin -n fleet"]
        );
        let running = IntegrationResult { phase: "Running".to_owned(), ..tool };
        assert_eq!(commands(&row, "b", &running), Vec::<String>::new());
    }

    #[test]
    fn hostile_name_is_one_word() {
        assert_eq!(word("a;rm -rf ~"), "'a;rm -rf ~'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("argocd-server"), "argocd-server");
    }
}
