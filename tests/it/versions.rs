//! The scenario `versions` of the load test, with few clusters.

use std::path::PathBuf;
use std::time::Duration;

use loadtest::run::{Mode, Plan, Provider, Script, Settings, run};

#[tokio::test]
async fn versions_are_counted_right_with_one_write_a_cluster() {
    let text = include_str!("../../loadtest/scenarios/versions.yaml").replace("upgrade: 100", "upgrade: 4");
    let script: Script = serde_saphyr::from_str(&text).unwrap();
    let settings = Settings {
        plan: Plan::Script("versions".to_owned(), script),
        ksit: PathBuf::from(env!("CARGO_BIN_EXE_ksit")),
        provider: Provider::Sim,
        targets: 30,
        replicas: 2,
        times: None,
        duration: Duration::ZERO,
        mode: Mode::Auto,
        measure_baseline: false,
        comparator: None,
        flags: Vec::new(),
        seed: 1,
    };
    let report = run(&settings).await.unwrap();
    let median = |name: &str| report.measures.iter().find(|measure| measure.name == name).unwrap().median;
    for (phase, counts) in [("three versions", [10, 10, 10]), ("upgrade, second half", [2, 18, 10])] {
        for (minor, count) in counts.into_iter().enumerate() {
            assert_eq!(median(&format!("{phase}: clusters of 1.{minor}.0")), f64::from(count), "{phase}");
        }
        assert_eq!(median(&format!("{phase}: status writes of a changed cluster")), 1.0, "{phase}");
    }
    let missed: Vec<_> = report.verdicts.iter().filter(|verdict| !verdict.is_ok).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
