//! Shard changes, and targets that are added and removed.

use super::test_kit::{Hub, context, hub};
use super::*;
use crate::domain::keys::ObjectKey;
use crate::domain::replica::Epoch;

#[tokio::test]
async fn replica_is_ready_once_its_targets_are_listed() {
    let (_state, hub) = hub(Hub::Answers);
    let shard = |slots: &str, epoch| Shard { slots: slots.parse().unwrap(), epoch: Epoch(epoch) };
    for (shards, lacks) in [
        (vec![shard("", 0)], vec![NEED_SHARD, NEED_TARGETS]),
        (vec![shard("000-0ff", 0)], vec![NEED_SHARD, NEED_TARGETS]),
        (vec![shard("", 0), shard("000-0ff", 7)], vec![NEED_TARGETS]),
        (vec![shard("", 0), shard("", 7)], vec![]),
    ] {
        let mut worker = Worker::new(Arc::new(context(hub.clone())));
        for shard in &shards {
            worker.set_shard(shard.clone());
        }
        let mut missing = worker.context.health.missing();
        missing.retain(|need| *need != NEED_INTEGRATIONS);
        assert_eq!(missing, lacks, "{shards:?}");
    }
}

fn applied(name: &str) -> Change<IntegrationTarget> {
    let object = serde_json::json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
        "metadata": { "namespace": "fleet", "name": name }, "spec": { "clusterName": name } });
    Change::Applied(serde_json::from_value(object).unwrap())
}

/// The task is aborted while a step is under way.
#[tokio::test]
async fn late_report_of_a_removed_target_is_discarded() {
    let (_state, hub) = hub(Hub::Down);
    let mut worker = Worker::new(Arc::new(context(hub)));
    worker.set_shard(Shard { slots: "000-3ff".parse().unwrap(), epoch: Epoch(1) });
    worker.integrations_listed = true;
    let key = TargetKey::new("fleet", "c1");
    let reports = worker.context.reports.clone();
    let enqueue_report = || {
        let (report, digest) = test_kit::report(&key);
        let update = ReportUpdate::Changed { report, digest, overdue: Arc::default() };
        reports.enqueue(key.clone(), update, Priority::CanWait);
    };
    worker.on_target(applied("c1"));
    worker.on_target(Change::Deleted(ObjectKey::new("fleet", "c1")));
    enqueue_report();
    let ended = worker.tasks.join_next_with_id().await.unwrap();
    worker.on_task_end(&ended);
    assert!(matches!(reports.try_dequeue(), Some((_, ReportUpdate::Removed))));

    // Recreated before its task has ended.
    worker.on_target(applied("c1"));
    worker.on_target(Change::Deleted(ObjectKey::new("fleet", "c1")));
    worker.on_target(applied("c1"));
    assert_eq!(worker.tasks.len(), 1, "the next task waits for the previous one to end");
    let ended = worker.tasks.join_next_with_id().await.unwrap();
    worker.on_task_end(&ended);
    assert_eq!(worker.tasks.len(), 1);
}

#[tokio::test]
async fn confirmed_shard_does_not_relist_its_targets() {
    let (_state, hub) = hub(Hub::Answers);
    let mut worker = Worker::new(Arc::new(context(hub)));
    let shard = |epoch| Shard { slots: "000-0ff".parse().unwrap(), epoch: Epoch(epoch) };
    assert!(worker.set_shard(shard(0)));
    assert!(!worker.set_shard(shard(7)));
}
