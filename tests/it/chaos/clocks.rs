//! Clocks that are wrong, and one that is slow.

use std::path::Path;
use std::process::Command;

use loadtest::installation::Tuning;

use super::{LEASE, TAKEN_OVER, check_truth, kept, leader, owned_by, prepare, stayed_true, tell};

/// One that thinks a second to be two waits twice as long for a Lease to end.
const AFTER_A_DEATH: std::time::Duration = LEASE.saturating_mul(2).saturating_add(TAKEN_OVER);

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
    owned_by(&fleet, &[0, 1, 2, 3]).await;
    tell(&fleet, 30).await;
    let truth = check_truth(&fleet).await;

    // Each that leads dies in turn, so that others with other clocks judge it.
    for broken in [0, 20, 10] {
        let coordinator = leader(&owned_by(&fleet, &[0, 1, 2, 3]).await);
        fleet.replicas.kill(coordinator);
        let rest: Vec<u32> = (0..4).filter(|ordinal| *ordinal != coordinator).collect();
        owned_by(&fleet, &rest).await;
        tell(&fleet, broken).await;
        stayed_true("death of a coordinator among wrong clocks", &truth, AFTER_A_DEATH).await;
        fleet.scale_up(4).await.unwrap();
    }
    owned_by(&fleet, &[0, 1, 2, 3]).await;
    kept(&fleet);
}
