//! `deploy/target/`: the rights that ksit needs on a target, one file for each tool, in the tool's own namespace.

use std::collections::BTreeSet;

use ksit::api::catalogue;
use ksit::cli::rights;

use crate::generated;

#[test]
fn target_rights_have_a_file_for_each_tool() {
    generated("deploy/target/reader.yaml", rights::READER);
    generated("deploy/target/cluster-wide.yaml", &rights::cluster_wide());
    generated("deploy/target/token-renewal.yaml", rights::TOKEN_RENEWAL);
    for tool in catalogue::tools() {
        generated(&format!("deploy/target/{}.yaml", tool.name), &rights::of_tool(tool, &tool.namespace));
    }
    let stored: BTreeSet<String> = std::fs::read_dir(crate::root().join("deploy/target"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let others = ["reader.yaml", "cluster-wide.yaml", "token-renewal.yaml"].map(str::to_owned);
    let expected = catalogue::tools().iter().map(|tool| format!("{}.yaml", tool.name)).chain(others);
    assert_eq!(stored, expected.collect());
}
