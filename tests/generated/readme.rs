//! The tables of README.md.

use ksit::cli::types;
use ksit::domain::integrations::TOOLS;
use ksit::observability::{FAMILIES, Metrics};

use crate::generated_between;

/// In one test: two that write one file would undo each other.
#[test]
fn readme_lists_every_metric_and_every_tool() {
    let of_fleet = FAMILIES.iter().map(|family| (family.name, family.help));
    let all = Metrics::TABLE.iter().copied().chain(of_fleet);
    let rows: String = all.map(|(name, help)| format!("| `{name}` | {help} |\n")).collect();
    generated_between("README.md", "metrics", &format!("| metric | meaning |\n| --- | --- |\n{rows}"));
    generated_between("README.md", "tools", &types::markdown(TOOLS));
}
