//! `ksit check --suggest`: Integrations for what was found.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::check::Check;
use super::check_output::Row;
use crate::domain::verdict::Phase;

/// One Integration for each tool that a cluster has, with the config that was given. With several clusters, those
/// without the tool count apart.
pub(super) fn integrations(rows: &[Row], checks: &[Check]) -> String {
    let contexts = rows.iter().map(|row| row.context.as_str()).collect::<std::collections::BTreeSet<_>>().len();
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.verdict.phase != Phase::NotInstalled) {
        if let Some(tool) = &row.tool {
            found.entry(tool).or_default().push(&row.context);
        }
    }
    let mut text = String::new();
    for check in checks {
        let Some(on) = found.get(check.tool.name.as_str()) else { continue };
        let name = &check.tool.name;
        let _ = write!(
            text,
            "# {}, found on {} of {contexts} clusters.\napiVersion: ksit.io/v1alpha1\nkind: Integration\nmetadata: \
             {{name: {name}}}\nspec:\n  type: {name}\n  targetSelector: {{}}\n",
            check.tool.title,
            on.len(),
        );
        if on.len() < contexts {
            text.push_str("  whenAbsent: NotInstalled\n");
        }
        if !check.config.is_empty() {
            text.push_str("  config:\n");
            for (key, value) in &check.config {
                // A JSON string is a YAML string, whatever it holds.
                let _ = writeln!(text, "    {}: {}", serde_json::json!(key), serde_json::json!(value));
            }
        }
        text.push_str("---\n");
    }
    match text.strip_suffix("---\n") {
        Some(text) => text.to_owned(),
        None => "# No supported tool was found; `ksit types` lists them.\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::api::catalogue;
    use crate::cli::check_output::Row;
    use crate::domain::reason::Reason;
    use crate::domain::verdict::ToolVerdict;

    use super::*;

    #[test]
    fn suggestion_has_the_config_and_can_be_read_as_yaml() {
        let config = BTreeMap::from([("namespace".to_owned(), "yes: \"no\"".to_owned())]);
        let checks = ["argocd", "flux"].map(|name| Check::of(catalogue::tool(name).unwrap(), config.clone()));
        let row = |context: &str, phase| Row {
            context: context.to_owned(),
            tool: Some("flux".to_owned()),
            verdict: ToolVerdict::without_observations(phase, Reason::Healthy, ""),
        };
        let text = integrations(&[row("a", Phase::Running), row("b", Phase::NotInstalled)], &checks);
        let found: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0]["metadata"]["name"], "flux");
        assert_eq!(found[0]["spec"]["config"]["namespace"], "yes: \"no\"");
        assert_eq!(found[0]["spec"]["whenAbsent"], "NotInstalled");
        assert!(integrations(&[], &checks).starts_with("# No supported tool"));
    }
}
