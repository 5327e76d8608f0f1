//! Clocks that are wrong, and one that runs at half the rate.

use std::path::Path;
use std::process::Command;

use testkit::installation::Tuning;

use super::{
    LEASE, TAKEOVER, assert_no_violations, assert_stayed_true, break_and_wait, check_truth, leader, prepare,
    until_owned_by,
};

/// A replica whose clock runs at half the rate waits twice as long for a Lease to end.
const SLOW_FAILOVER: std::time::Duration = LEASE.saturating_mul(2).saturating_add(TAKEOVER);

#[tokio::test]
async fn clock_skew_breaks_no_invariant() {
    let mut fleet = prepare().await;
    let shim = fleet.hub.dir().join("skewed_clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chaos/skewed_clock.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).status().unwrap();
    assert!(compiled.success());
    let skew = |name: &str, value: &str| Tuning {
        env: vec![("LD_PRELOAD".to_owned(), shim.display().to_string()), (name.to_owned(), value.to_owned())],
        ..Tuning::default()
    };
    let skews = [("AHEAD_SECONDS", "3600"), ("AHEAD_SECONDS", "-3600"), ("AHEAD_SECONDS", "20"), ("SLOWNESS", "2")];
    for (ordinal, (name, value)) in (0..).zip(skews) {
        fleet.replicas.tune(ordinal, skew(&format!("CLOCK_{name}"), value));
    }
    fleet.scale_up(4).await.unwrap();
    until_owned_by(&fleet, &[0, 1, 2, 3]).await;
    break_and_wait(&fleet, 30).await;
    let truth = check_truth(&fleet).await;

    // Each coordinator dies in turn: replicas with other clocks detect it.
    for broken in [0, 20, 10] {
        let coordinator = leader(&until_owned_by(&fleet, &[0, 1, 2, 3]).await);
        fleet.replicas.kill(coordinator);
        let rest: Vec<u32> = (0..4).filter(|ordinal| *ordinal != coordinator).collect();
        until_owned_by(&fleet, &rest).await;
        break_and_wait(&fleet, broken).await;
        assert_stayed_true("death of a coordinator among wrong clocks", &truth, SLOW_FAILOVER).await;
        fleet.scale_up(4).await.unwrap();
    }
    until_owned_by(&fleet, &[0, 1, 2, 3]).await;
    assert_no_violations(&fleet);
}
