//! A load test of real API servers reports the same measures as one of simulated clusters.

use std::path::PathBuf;
use std::time::Duration;

use loadtest::run::{Mode, Plan, Provider, Script, Settings, run};

const SCRIPT: &str = "about: x.
steps: [{ untilRight: 60s }, { phase: changes }, { breakAndMend: { breaksPerSecond: 2, hold: 1s, for: 5s } },
  { untilRight: 30s }]
limits:
  - { measure: 'changes: changes never seen', most: 0 }
  - { measure: 'changes: unprovoked changes', most: 0 }
";

fn settings(script: &str) -> Settings {
    Settings {
        plan: Plan::Script("short".to_owned(), serde_saphyr::from_str::<Script>(script).unwrap()),
        ksit: PathBuf::from(env!("CARGO_BIN_EXE_ksit")),
        provider: Provider::Local,
        targets: 1,
        replicas: 1,
        times: None,
        duration: Duration::ZERO,
        mode: Mode::Auto,
        measure_baseline: false,
        comparator: None,
        flags: Vec::new(),
        seed: 1,
    }
}

#[tokio::test]
async fn local_provider_reports_the_measures_of_the_simulator() {
    let report = run(&settings(SCRIPT)).await.unwrap();
    assert!(report.is_ok(), "{}{}", report.verdict_table(), report.table());
    let measure = |name: &str| report.measures.iter().find(|measure| measure.name == name);
    let changes = measure("changes: change until the status shows it").unwrap();
    assert!(changes.samples.len() >= 4, "{:?}", changes.samples);
    assert!(measure("start: watches begun").unwrap().max > 0.0, "watches are counted from the audit log");
    assert!(measure("start: connections open per target").is_none(), "the audit log has no connections");
}

#[tokio::test]
async fn local_provider_refuses_steps_of_the_simulator() {
    let refused = run(&settings("about: x.\nsteps: [{ delay: 20ms }]\n")).await.unwrap_err();
    assert_eq!(refused.to_string(), "scenario short: delay needs simulated clusters: --provider sim, not local");
}
