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
