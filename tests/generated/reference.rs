//! Generates the tables of `docs/reference`.

use ksit::api::catalogue;
use ksit::cli::types;
use ksit::observability::{FAMILIES, Metrics};

use crate::generated_between;

#[test]
fn reference_lists_every_metric() {
    let fleet_metrics = FAMILIES.iter().map(|family| (family.name, family.help));
    let all = Metrics::TABLE.iter().copied().chain(fleet_metrics);
    let rows: String = all.map(|(name, help)| format!("| `{name}` | {help} |\n")).collect();
    let table = format!("| metric | meaning |\n| --- | --- |\n{rows}");
    generated_between("docs/reference/metrics.md", "metrics", &table);
}

#[test]
fn reference_lists_every_tool() {
    generated_between("docs/reference/tools.md", "tools", &types::markdown(catalogue::tools()));
}
