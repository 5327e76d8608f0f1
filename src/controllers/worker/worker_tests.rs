//! Shards and targets that come and go.

use super::test_kit::{Hub, context, hub};
use super::*;
use crate::domain::replica::Epoch;

#[tokio::test]
async fn a_replica_is_ready_when_it_has_read_the_share_that_the_map_gives_it() {
    let (_state, hub) = hub(Hub::Answers);
    let shard = |slots: &str, epoch| Shard { slots: slots.parse().unwrap(), epoch: Epoch(epoch) };
    for (shares, lacks) in [
        (vec![shard("", 0)], vec![NEED_SHARD, NEED_TARGETS]),
        (vec![shard("000-0ff", 0)], vec![NEED_SHARD, NEED_TARGETS]),
        (vec![shard("", 0), shard("000-0ff", 7)], vec![NEED_TARGETS]),
        (vec![shard("", 0), shard("", 7)], vec![]),
    ] {
        let mut worker = Worker::new(Arc::new(context(hub.clone())));
        for share in &shares {
            worker.takes(share.clone());
        }
        let mut missing = worker.context.health.missing();
        missing.retain(|need| *need != NEED_INTEGRATIONS);
        assert_eq!(missing, lacks, "{shares:?}");
    }
}

fn applied(name: &str) -> Change<IntegrationTarget> {
    let object = serde_json::json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
        "metadata": { "namespace": "fleet", "name": name }, "spec": { "clusterName": name } });
    Change::Applied(serde_json::from_value(object).unwrap())
}

/// The task is aborted while a step is under way.
#[tokio::test]
async fn last_words_of_a_target_that_is_gone_are_not_heard() {
    let (_state, hub) = hub(Hub::IsAway);
    let mut worker = Worker::new(Arc::new(context(hub)));
    worker.takes(Shard { slots: "000-3ff".parse().unwrap(), epoch: Epoch(1) });
    worker.knows_integrations = true;
    let key = TargetKey::new("fleet", "c1");
    let reports = worker.context.reports.clone();
    let speak = || {
        let (report, digest) = test_kit::report(&key);
        let said = ReportUpdate::Changed { report, digest, overdue: Arc::default() };
        reports.enqueue(key.clone(), said, Priority::CanWait);
    };
    worker.on_target(applied("c1"));
    worker.on_target(Change::Deleted(("fleet".to_owned(), "c1".to_owned())));
    speak();
    let ended = worker.tasks.join_next_with_id().await.unwrap();
    worker.on_task_end(&ended);
    assert!(matches!(reports.try_dequeue(), Some((_, ReportUpdate::Removed))));

    // It is there again before its task has ended.
    worker.on_target(applied("c1"));
    worker.on_target(Change::Deleted(("fleet".to_owned(), "c1".to_owned())));
    worker.on_target(applied("c1"));
    assert_eq!(worker.tasks.len(), 1, "the next task waits for the end of the former");
    let ended = worker.tasks.join_next_with_id().await.unwrap();
    worker.on_task_end(&ended);
    assert_eq!(worker.tasks.len(), 1);
}

#[tokio::test]
async fn targets_are_listed_once_by_who_gets_what_it_had_before() {
    let (_state, hub) = hub(Hub::Answers);
    let mut worker = Worker::new(Arc::new(context(hub)));
    let share = |epoch| Shard { slots: "000-0ff".parse().unwrap(), epoch: Epoch(epoch) };
    assert!(worker.takes(share(0)));
    assert!(!worker.takes(share(7)));
}
