//! Clusters that send answers no healthy API server would send.

use std::time::Duration;

use ksit::api::IntegrationTarget;
use simulator::{Fault, Health, Kind};

use super::HostileFleet;
use crate::kit::condition;

const CLUSTERS: u32 = 40;

/// Enough that each replica most likely owns one.
const FAULTY: u32 = 6;

const FAULT_DURATION: Duration = Duration::from_secs(20);

fn conditions_of(target: &IntegrationTarget) -> String {
    let describe = |kind| condition(target, kind).map(|c| format!("{kind} {} {}: {}", c.status, c.reason, c.message));
    [describe("Reachable"), describe("Watched")].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Injects each fault in turn into some clusters; a condition of theirs must then contain the given text.
async fn endure_answers(namespace: &str, faults: &[(Fault, &str)]) {
    let mut fleet = HostileFleet::start(namespace, CLUSTERS).await;
    let truth = fleet.check_truth(FAULTY..CLUSTERS).await;
    fleet.assert_endures("undisturbed", &truth, Duration::from_secs(5)).await;
    for (fault, words) in faults {
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, Some(*fault)));
        fleet.assert_endures(&format!("{fault:?}"), &truth, FAULT_DURATION).await;
        for number in 0..FAULTY {
            let name = super::name(number);
            let target = fleet.world.until_target(&name, |target| conditions_of(target).contains(words)).await;
            let shown = serde_json::to_string(&target).unwrap();
            assert!(shown.len() < 20_000 && !shown.contains("pwned"), "{fault:?}: {shown:.2000}");
        }
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, None));
    }
}

#[tokio::test]
async fn a1_oversized_name_silences_no_other() {
    endure_answers("hostile-names", &[(Fault::OversizedName, "(InvalidAnswer)")]).await;
}

#[tokio::test]
async fn a3_growing_cluster_takes_bounded_memory() {
    let faults = [(Fault::OversizedLabels, "Watched False"), (Fault::GrowingWatch, "Watched False")];
    endure_answers("hostile-growth", &faults).await;
}

#[tokio::test]
async fn a10_control_characters_reach_no_status() {
    endure_answers("hostile-characters", &[(Fault::ControlCharacters, "(InvalidAnswer)")]).await;
}

#[tokio::test]
async fn a15_flapping_object_costs_one_write_a_second() {
    let mut fleet = HostileFleet::start("hostile-flapping", CLUSTERS).await;
    let truth = fleet.check_truth(1..CLUSTERS).await;
    let server = fleet.simulator.component(Kind::Deployment, "argocd", "argocd-server").unwrap();
    let simulator = fleet.simulator.clone();
    let mut flapping = tokio::task::JoinSet::new();
    flapping.spawn(async move {
        for health in [Health::Broken, Health::Healthy].into_iter().cycle() {
            simulator.set(0, server, health);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let audit = crate::kit::hub().await.audit();
    let mark = audit.mark();
    fleet.assert_endures("flapping object", &truth, FAULT_DURATION).await;
    let is_of_the_target = |event: &testkit::audit::AuditEvent| {
        let object = event.object_ref.clone().unwrap_or_default();
        object.namespace == "hostile-flapping"
            && object.resource == "integrationtargets"
            && object.name == "c0"
            && event.verb == "update"
    };
    let writes: Vec<_> = audit.since(mark).unwrap().into_iter().filter(is_of_the_target).collect();
    let accepted = writes.iter().filter(|write| write.code() < 300).count() as u64;
    println!(
        "flapping object: {} status writes in {FAULT_DURATION:?}, of which {accepted} were accepted",
        writes.len()
    );
    let limit = FAULT_DURATION.as_secs() + 3;
    assert!(accepted >= 5 && writes.len() as u64 <= limit, "{accepted} of {}", writes.len());
}
