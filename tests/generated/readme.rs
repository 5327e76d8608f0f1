//! Generates the tables of README.md.

use ksit::api::catalogue;
use ksit::cli::types;
use ksit::observability::{FAMILIES, Metrics};

use crate::generated_between;

/// One test for both tables: two tests writing one file would overwrite each other.
#[test]
fn readme_lists_every_metric_and_every_tool() {
    let fleet_metrics = FAMILIES.iter().map(|family| (family.name, family.help));
    let all = Metrics::TABLE.iter().copied().chain(fleet_metrics);
    let rows: String = all.map(|(name, help)| format!("| `{name}` | {help} |\n")).collect();
    generated_between("README.md", "metrics", &format!("| metric | meaning |\n| --- | --- |\n{rows}"));
    generated_between("README.md", "tools", &types::markdown(catalogue::tools()));
}
