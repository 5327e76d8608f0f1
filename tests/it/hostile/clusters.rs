//! Clusters that answer what no healthy API server does.

use std::time::Duration;

use ksit::api::IntegrationTarget;
use loadtest::simulator::{Fault, Health, Kind};

use super::HostileFleet;
use crate::kit::condition;

const CLUSTERS: u32 = 40;

/// Enough for each replica to own one of them, most likely.
const FAULTY: u32 = 6;

const FAULT_DURATION: Duration = Duration::from_secs(20);

fn conditions_of(target: &IntegrationTarget) -> String {
    let said = |kind| condition(target, kind).map(|c| format!("{kind} {} {}: {}", c.status, c.reason, c.message));
    [said("Reachable"), said("Watched")].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Gives some clusters each of these faults in turn; what is `said` of them then is part of a condition.
async fn endure_answers(namespace: &str, faults: &[(Fault, &str)]) {
    let mut fleet = HostileFleet::start(namespace, CLUSTERS).await;
    let truth = fleet.check_truth(FAULTY..CLUSTERS).await;
    fleet.endures("undisturbed", &truth, Duration::from_secs(5)).await;
    for (fault, said) in faults {
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, Some(*fault)));
        fleet.endures(&format!("{fault:?}"), &truth, FAULT_DURATION).await;
        for number in 0..FAULTY {
            let name = super::name(number);
            let target = fleet.world.until_target(&name, |target| conditions_of(target).contains(said)).await;
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
    fleet.endures("flapping object", &truth, FAULT_DURATION).await;
    let is_of_the_target = |event: &loadtest::audit::AuditEvent| {
        let of = event.object_ref.clone().unwrap_or_default();
        of.namespace == "hostile-flapping"
            && of.resource == "integrationtargets"
            && of.name == "c0"
            && event.verb == "update"
    };
    let writes: Vec<_> = audit.since(mark).unwrap().into_iter().filter(is_of_the_target).collect();
    let taken = writes.iter().filter(|write| write.code() < 300).count() as u64;
    println!("flapping object: {} status writes in {FAULT_DURATION:?}, of which {taken} were taken", writes.len());
    let most = FAULT_DURATION.as_secs() + 3;
    assert!(taken >= 5 && writes.len() as u64 <= most, "{taken} of {}", writes.len());
}
