//! Links to coordinators that never answer, or that close the link at a report.

use tokio::task::JoinSet;

use std::collections::BTreeSet;

use super::super::test_kit;
use super::*;
use crate::domain::digest::Digest;
use crate::domain::outbox::Overdue;
use crate::domain::replica::Epoch;
use crate::domain::report::{FromWorker, Heartbeat, ToWorker};
use crate::domain::shard_map::PublishedMap;
use crate::domain::slot::{Slot, SlotSet};

fn map(coordinator: &Incarnation, address: &str) -> Option<StoredMap> {
    let contact = Contact { address: address.to_owned(), certificate_sha256: "00".repeat(32) };
    let published = PublishedMap { map: Default::default(), coordinator: coordinator.clone(), contact: Some(contact) };
    Some(StoredMap { published, metadata: Default::default() })
}

/// The other ends of a reporter that owns all slots. Its replica leads while the loopback is open.
struct World {
    reports: Arc<Reports>,
    metrics: Metrics,
    open_loopback: watch::Sender<Option<mpsc::Sender<Incoming>>>,
    shard: watch::Sender<Shard>,
    _map: watch::Sender<Option<StoredMap>>,
}

fn world() -> (ReporterContext, World) {
    let me = Incarnation::new("ksit-0", "uid", "a");
    let (maps, map) = watch::channel(map(&me, "127.0.0.1:1"));
    let (open_loopback, loopback) = watch::channel(None);
    let (shards, shard) = watch::channel(Shard { slots: "000-3ff".parse().unwrap(), epoch: Epoch(1) });
    let (reports, metrics): (Arc<Reports>, _) = (Arc::default(), Metrics::new().unwrap());
    let world = World { reports: reports.clone(), metrics: metrics.clone(), open_loopback, shard: shards, _map: maps };
    let (token_file, round) = (None, Duration::from_secs(30));
    (ReporterContext { me, reports, shard, map, loopback, token_file, round, metrics }, world)
}

fn enqueue_report(reports: &Reports, name: &str) -> Digest {
    let (report, digest) = test_kit::report(&TargetKey::new("fleet", name));
    let overdue: Arc<Overdue> = Arc::default();
    overdue.set(since_start(), Duration::from_secs(3_600));
    let update = ReportUpdate::Changed { report: report.clone(), digest, overdue };
    reports.enqueue(report.target.clone(), update, crate::domain::priority::Priority::CanWait);
    digest
}

/// The digests before the next heartbeat, their number per message, and that heartbeat.
async fn until_heartbeat(incoming: &mut mpsc::Receiver<Incoming>) -> (Vec<Digest>, Vec<usize>, Heartbeat) {
    let (mut all, mut sizes) = (Vec::new(), Vec::new());
    loop {
        match incoming.recv().await.unwrap().message {
            FromWorker::Digests { digests, .. } => {
                sizes.push(digests.len());
                all.extend(digests);
            }
            FromWorker::Heartbeat(heartbeat) => return (all, sizes, heartbeat),
            FromWorker::Report { report, .. } => panic!("unrequested report {report:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn confirmation_of_thousands_of_targets_is_paged() {
    let (context, world) = world();
    let mut expected: Vec<Digest> =
        (0..4_500).map(|number| enqueue_report(&world.reports, &format!("c{number}"))).collect();
    expected.sort();
    let (to_me, mut incoming) = mpsc::channel(64);
    let mut task = JoinSet::new();
    world.open_loopback.send_replace(Some(to_me));
    task.spawn(report(context));
    let first = incoming.recv().await.unwrap();
    let mut links = vec![first.replies];
    while until_heartbeat(&mut incoming).await.2.targets < 4_500 {}
    links.remove(0).send(ToWorker::Confirm).await.unwrap();
    let (mut digests, pages, heartbeat) = until_heartbeat(&mut incoming).await;
    digests.sort();
    assert_eq!((digests == expected, pages), (true, vec![2_000, 2_000, 500]));
    assert_eq!((heartbeat.targets, heartbeat.set), (4_500, Some(Digest::of_set(expected.iter().copied()))));

    // Half of its slots move to another replica.
    let kept: SlotSet = "000-1ff".parse().unwrap();
    world.shard.send_replace(Shard { slots: kept.clone(), epoch: Epoch(2) });
    let is_kept = |number: &u32| kept.contains(Slot::of(&TargetKey::new("fleet", format!("c{number}").as_str())));
    let left = (0..4_500).filter(is_kept).count();
    let (digests, _, heartbeat) = until_heartbeat(&mut incoming).await;
    assert_eq!((digests.len(), heartbeat.targets as usize, heartbeat.epoch), (left, left, Epoch(2)));
}

/// A hung round: a new link or coordinator must not make the old verdict look fresh.
#[tokio::test(start_paused = true)]
async fn overdue_target_is_withheld_until_it_is_checked() {
    let (context, world) = world();
    let (report_of_it, digest) = test_kit::report(&TargetKey::new("fleet", "late"));
    let overdue: Arc<Overdue> = Arc::default();
    let update = ReportUpdate::Changed { report: report_of_it.clone(), digest, overdue: overdue.clone() };
    world.reports.enqueue(report_of_it.target.clone(), update, crate::domain::priority::Priority::CanWait);
    enqueue_report(&world.reports, "well");
    std::thread::sleep(Duration::from_millis(5));
    let (to_me, mut incoming) = mpsc::channel(64);
    world.open_loopback.send_replace(Some(to_me));
    let mut task = JoinSet::new();
    task.spawn(report(context));
    let replies = incoming.recv().await.unwrap().replies;
    let mut reported = 0;
    for _ in 0..4 {
        replies.send(ToWorker::Want { targets: vec![digest.target] }).await.unwrap();
        let (digests, _, heartbeat) = until_heartbeat(&mut incoming).await;
        assert!(!digests.contains(&digest));
        reported = heartbeat.targets;
    }
    assert_eq!(reported, 1, "the other target");
    overdue.set(since_start(), Duration::from_secs(3_600));
    let (digests, _, heartbeat) = until_heartbeat(&mut incoming).await;
    assert_eq!((digests, heartbeat.targets), (vec![digest], 2));
}

/// The coordinator closes the link at the report of "poison", as one of another version may.
#[tokio::test(start_paused = true)]
async fn report_that_ends_links_is_skipped_and_others_arrive() {
    let (context, world) = world();
    let World { reports, metrics, open_loopback, .. } = &world;
    for name in ["a", "poison", "b", "c"] {
        enqueue_report(reports, name);
    }
    let mut task = JoinSet::new();
    task.spawn(report(context));
    let mut taken = BTreeSet::new();
    for _ in 0..10 {
        let (to_me, mut incoming) = mpsc::channel(8);
        open_loopback.send_replace(Some(to_me));
        while let Ok(Some(Incoming { message, replies, .. })) =
            tokio::time::timeout(Duration::from_secs(5), incoming.recv()).await
        {
            let answer = match message {
                FromWorker::Digests { digests, .. } => {
                    let names = digests.iter().map(|digest| digest.target);
                    ToWorker::Want { targets: names.filter(|name| !taken.contains(name)).collect() }
                }
                FromWorker::Report { report, .. } if report.target.name() == "poison" => break,
                FromWorker::Report { sequence, report, .. } => {
                    taken.insert(Digest::name(&report.target));
                    ToWorker::Taken { sequence }
                }
                FromWorker::Heartbeat(_) => continue,
            };
            replies.send(answer).await.unwrap();
        }
        open_loopback.send_replace(None);
        sleep(Duration::from_secs(1)).await;
    }
    let healthy = ["a", "b", "c"].map(|name| Digest::name(&TargetKey::new("fleet", name)));
    assert_eq!(taken, healthy.into());
    assert_eq!(metrics.reports_skipped.get(), 1);
}

/// The coordinator's node lost power: connections are neither refused nor answered.
#[tokio::test(start_paused = true)]
async fn dial_to_dead_coordinator_stops_when_the_peer_changes() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let token = tempfile::NamedTempFile::new().unwrap();
    let (me, dead) = (Incarnation::new("ksit-0", "uid", "a"), Incarnation::new("ksit-1", "uid", "b"));
    let (maps, seen) = watch::channel(map(&dead, &silent.local_addr().unwrap().to_string()));
    let (to_me, mut incoming) = mpsc::channel(8);
    let (_open_loopback, loopback) = watch::channel(Some(to_me));
    let (_shard, shard) = watch::channel(Shard::default());
    let context = ReporterContext {
        me: me.clone(),
        reports: Arc::default(),
        shard,
        map: seen,
        loopback,
        token_file: Some(token.path().to_owned()),
        round: Duration::from_secs(30),
        metrics: Metrics::new().unwrap(),
    };
    let begun = Instant::now();
    let mut task = JoinSet::new();
    task.spawn(report(context));
    sleep(Duration::from_secs(1)).await;
    maps.send_replace(map(&me, "127.0.0.1:1"));
    assert!(matches!(incoming.recv().await.unwrap().message, FromWorker::Heartbeat(_)));
    assert_eq!(begun.elapsed().as_secs(), 1);
}
