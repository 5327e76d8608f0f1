//! What a coordinator asks for, and when it has been answered.

use serde_json::json;
use tokio::sync::mpsc;

use super::super::FleetContext;
use super::super::known::Sighting;
use super::*;
use crate::domain::replica::Term;
use crate::domain::shards::Shards;
use crate::hub::{Change, Clock};
use crate::observability::Metrics;

/// Of one replica, which owns everything, and of the target `fleet/c1`, whose status is known.
fn fleet(replica: &Incarnation) -> Fleet {
    let mut fleet = Fleet::new(FleetContext {
        statuses: Arc::default(),
        chores: Arc::default(),
        exchange: Arc::default(),
        neighbours: Arc::default(),
        metrics: Metrics::new().unwrap(),
        clock: Clock::start(),
        began: Instant::now(),
        term: Term(1),
        installation: "ksit-system/ksit".to_owned(),
        round: Duration::from_secs(30),
    });
    let target = json!({
        "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
        "metadata": { "namespace": "fleet", "name": "c1", "labels": { "ksit.io/slot": Slot::of(&key()).to_string() } },
        "spec": { "clusterName": "c1" },
        "status": { "phase": "Running", "coordinatorTerm": 1, "managedBy": "ksit-system/ksit" },
    });
    fleet.on_target(Sighting::of(Change::Applied(serde_json::from_value(target).unwrap())));
    fleet.on_map(&ShardMap {
        term: Term(1),
        epoch: Epoch(1),
        members: [(replica.name.clone(), replica.clone())].into(),
        shards: Shards::new([(replica.name.clone(), "000-3ff".parse().unwrap())]),
    });
    fleet
}

fn key() -> TargetKey {
    TargetKey::new("fleet", "c1")
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_says_what_is_known_answers_what_was_asked() {
    let replica = Arc::new(Incarnation::new("ksit-0", "uid", "nonce"));
    let mut fleet = fleet(&replica);
    let (replies, mut asked) = mpsc::channel(16);
    let say = |fleet: &mut Fleet, sequence, digests| {
        let message = FromWorker::Digests { sequence, epoch: Epoch(1), digests };
        fleet.on_message(Incoming { sender: replica.clone(), message, bytes: 0, replies: replies.clone() });
    };
    say(&mut fleet, 1, Vec::new());
    fleet.ask_owners([key()]);
    let known = fleet.targets[&key()].status.as_ref().unwrap().meaning;
    say(&mut fleet, 2, vec![known]);
    tokio::time::advance(2 * ASK_AGAIN).await;
    fleet.ask_again();
    let mut wants = 0;
    while let Ok(answer) = asked.try_recv() {
        wants += u32::from(matches!(answer, ToWorker::Want { .. }));
    }
    assert_eq!(wants, 1, "it was asked for once, and not again");
}
