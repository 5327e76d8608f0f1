//! The reflector against simulated clusters, since no real one misbehaves on demand.

mod namespaces;
mod quiet;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ksit::domain::check_mode::CheckMode;
use ksit::domain::reason::Reason;
use ksit::domain::snapshot::{Answer, ListKind, ObjectRef, Query, Snapshot};
use ksit::targets::{Change, Cluster, Limits, Reflector, Settings, Standing};
use simulator::{ComponentId, Fault, Health, Kind, Simulator};
use tokio::time::timeout;

use crate::transport_faults::{connection_of, list};

/// Time-out for anything that should happen at once.
const SOON: Duration = Duration::from_secs(20);

/// Short, so that hung requests cost little time; long enough for a handshake while all other tests run.
const ROUND: Duration = Duration::from_secs(8);

/// One simulated cluster, and a reflector of it.
struct Watched {
    simulator: Simulator,
    cluster: Cluster,
    reflector: Reflector,
    deployment: ComponentId,
}

fn limits() -> Arc<Limits> {
    Arc::new(Limits::new(Settings { round_timeout: ROUND, connect_timeout: ROUND, ..Settings::default() }))
}

fn queries() -> BTreeSet<Query> {
    BTreeSet::from([
        list(ListKind::Deployment, "argocd"),
        list(ListKind::StatefulSet, "argocd"),
        list(ListKind::Service, "argocd"),
        list(ListKind::EndpointSlice, "argocd"),
        Query::Object(ObjectRef::crd("gateways.networking.istio.io")),
        Query::Object(ObjectRef::crd("virtualservices.networking.istio.io")),
    ])
}

impl Watched {
    async fn new() -> Self {
        Self::of(Simulator::start(1).await.unwrap()).await
    }

    async fn of(simulator: Simulator) -> Self {
        Self::within(simulator, limits()).await
    }

    async fn within(simulator: Simulator, limits: Arc<Limits>) -> Self {
        let cluster = Cluster::new(connection_of(&simulator.kubeconfig(0)), limits);
        let deployment = simulator.component(Kind::Deployment, "argocd", "argocd-server").unwrap();
        let mut watched = Self { simulator, cluster, reflector: Reflector::default(), deployment };
        watched.refresh().await.unwrap();
        watched
    }

    async fn refresh(&mut self) -> Result<(), ksit::domain::reason::Failure> {
        self.reflector.refresh(&self.cluster, &queries(), Standing::Healthy).await
    }

    async fn change(&mut self) -> Change {
        timeout(SOON, self.reflector.changed(self.cluster.limits())).await.expect("something changes")
    }

    /// Refreshes whenever watches end, until `argocd-server` has this many ready Pods.
    async fn until_ready(&mut self, ready: Option<u32>) {
        while ready_of(&self.reflector.snapshot()) != ready {
            if self.change().await == Change::Ended {
                self.refresh().await.unwrap();
            }
        }
    }

    fn set(&self, health: Health) {
        assert!(self.simulator.set(0, self.deployment, health));
    }
}

/// Ready Pods of `argocd-server`; `None` if it does not exist.
fn ready_of(snapshot: &Snapshot) -> Option<u32> {
    let Some(Answer::Workloads(found)) = snapshot.get(&list(ListKind::Deployment, "argocd")) else { panic!() };
    found.iter().find(|workload| workload.name == "argocd-server").map(|workload| workload.state.ready)
}

#[tokio::test]
async fn watch_delivers_changes_without_requests() {
    let mut watched = Watched::new().await;
    assert_eq!(watched.reflector.mode("c1"), Some(CheckMode::Watch));
    assert!(watched.reflector.is_following());
    let requests = watched.simulator.requests();
    for (health, ready) in [(Health::Broken, Some(0)), (Health::Absent, None), (Health::Healthy, Some(1))] {
        watched.set(health);
        watched.until_ready(ready).await;
    }
    assert_eq!((watched.simulator.requests(), watched.simulator.counts().accepted), (requests, 1));
}

#[tokio::test]
async fn watch_lost_endpoint_leaves_its_service_with_none() {
    let mut watched = Watched::new().await;
    let service = watched.simulator.component(Kind::Service, "argocd", "argocd-server").unwrap();
    assert!(watched.simulator.set(0, service, Health::Broken));
    watched.change().await;
    let snapshot = watched.reflector.snapshot();
    let Some(Answer::Endpoints(ready)) = snapshot.get(&list(ListKind::EndpointSlice, "argocd")) else { panic!() };
    assert_eq!(ready.get("argocd-server"), Some(&0));
}

#[tokio::test]
async fn watched_round_costs_one_list_and_one_get() {
    let mut watched = Watched::new().await;
    for _ in 0..4 {
        let before = watched.simulator.requests();
        watched.refresh().await.unwrap();
        assert_eq!(watched.simulator.requests() - before, 2);
    }
    let counts = watched.simulator.counts();
    assert_eq!((counts.lists, counts.named, counts.watches), (4 + 4, 2 + 1 + 4, 0), "discovery is one of the names");
}

#[tokio::test]
async fn watch_unread_changes_delay_no_round() {
    let mut watched = Watched::new().await;
    let others = [(Kind::Service, "argocd-server"), (Kind::StatefulSet, "argocd-application-controller")];
    let others = others.map(|(kind, name)| watched.simulator.component(kind, "argocd", name).unwrap());
    for change in 0..301 {
        let health = if change % 2 == 0 { Health::Broken } else { Health::Healthy };
        watched.set(health);
        assert!(others.iter().all(|component| watched.simulator.set(0, *component, health)));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let lists = queries().into_iter().filter(|query| matches!(query, Query::List { .. })).collect();
    watched.reflector.refresh(&watched.cluster, &lists, Standing::Healthy).await.unwrap();
    watched.until_ready(Some(0)).await;
    assert_eq!(watched.simulator.counts().lists, 4 + 1, "no watch was lost");
}

#[tokio::test]
async fn streaming_list_and_watch_are_one_request_if_supported() {
    let watched = Watched::new().await;
    let counts = watched.simulator.counts();
    assert_eq!((counts.lists, counts.watches, counts.named, counts.open_watches), (4, 0, 2 + 1, 4), "with discovery");

    let settings = simulator::Settings { streaming_lists: false, ..Default::default() };
    let mut watched = Watched::of(Simulator::with(1, settings).await.unwrap()).await;
    assert!(watched.reflector.is_following());
    let counts = watched.simulator.counts();
    assert_eq!((counts.watches, counts.open_watches), (4, 4));
    assert!((5..=4 + 2).contains(&counts.lists), "only requests under way failed as streams: {counts:?}");
    watched.set(Health::Broken);
    watched.until_ready(Some(0)).await;
}

/// A stream that hangs within the list is replaced by a plain LIST.
#[tokio::test]
async fn streaming_list_that_stalls_falls_back_to_a_list() {
    let mut watched = Watched::new().await;
    watched.simulator.close(0);
    watched.simulator.compact(0);
    watched.set(Health::Broken);
    watched.simulator.inject(0, Some(Fault::HangInBody));
    let failure = loop {
        if let Err(failure) = watched.refresh().await {
            break failure;
        }
    };
    assert_eq!(failure.reason, Reason::TimedOut);
    assert_eq!(ready_of(&watched.reflector.snapshot()), Some(1), "half a list is not applied");
    watched.simulator.inject(0, None);
    watched.refresh().await.unwrap();
    watched.until_ready(Some(0)).await;
}

#[tokio::test]
async fn watches_share_one_connection_even_if_started_together() {
    let simulator = Simulator::start(20).await.unwrap();
    let limits = limits();
    let started = (0..20).map(|number| {
        let cluster = Cluster::new(connection_of(&simulator.kubeconfig(number)), limits.clone());
        async move {
            let mut reflector = Reflector::default();
            reflector.refresh(&cluster, &queries(), Standing::Healthy).await.unwrap();
            (cluster, reflector)
        }
    });
    let _kept = futures::future::join_all(started).await;
    let counts = simulator.counts();
    assert_eq!((counts.accepted, counts.open_watches), (20, 20 * 4));
}

#[tokio::test]
async fn watch_resumes_where_it_ended() {
    let mut watched = Watched::new().await;
    watched.simulator.end_watches(0);
    watched.set(Health::Broken);
    watched.until_ready(Some(0)).await;
    assert_eq!(watched.simulator.counts().lists, 4, "nothing was listed again");
}

/// Both the event and the end have arrived before either is read.
#[tokio::test]
async fn watch_events_before_its_end_are_applied() {
    let mut watched = Watched::new().await;
    let before = watched.reflector.version();
    watched.set(Health::Broken);
    tokio::time::sleep(Duration::from_millis(300)).await;
    watched.simulator.end_watches(0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(watched.change().await, Change::Ended);
    assert_eq!(ready_of(&watched.reflector.snapshot()), Some(0));
    assert_ne!(watched.reflector.version(), before);
}

#[tokio::test]
async fn watch_reconnects_without_missing_a_change() {
    let mut watched = Watched::new().await;
    watched.simulator.close(0);
    watched.set(Health::Broken);
    watched.until_ready(Some(0)).await;
    let counts = watched.simulator.counts();
    assert_eq!((counts.lists, counts.accepted), (4, 2));
}

#[tokio::test]
async fn goaway_moves_the_next_round_to_a_new_connection() {
    let mut watched = Watched::new().await;
    watched.simulator.go_away(0);
    let mut rounds = 0;
    let moved = async {
        while watched.simulator.counts().accepted == 1 {
            rounds += 1;
            watched.refresh().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, moved).await.unwrap();
    assert!(watched.reflector.is_following());
    watched.set(Health::Broken);
    watched.until_ready(Some(0)).await;
    let lists = watched.simulator.counts().lists;
    assert!(lists <= 4 + rounds, "{lists} lists, of which {rounds} confirm");
}

#[tokio::test]
async fn watch_expired_version_is_relisted() {
    let mut watched = Watched::new().await;
    watched.simulator.close(0);
    watched.set(Health::Broken);
    watched.simulator.compact(0);
    watched.until_ready(Some(0)).await;
    assert!(watched.simulator.counts().lists > 4);
    assert!(watched.reflector.is_following());
}

#[tokio::test]
async fn watches_follow_added_and_removed_queries() {
    let mut watched = Watched::new().await;
    let more: BTreeSet<Query> = queries().into_iter().chain([list(ListKind::Deployment, "flux-system")]).collect();
    watched.reflector.refresh(&watched.cluster, &more, Standing::Healthy).await.unwrap();
    assert_eq!(watched.simulator.counts().lists, 4 + 1 + 1, "the new query is listed, and one list confirmed");
    let fewer = BTreeSet::from([list(ListKind::Deployment, "argocd")]);
    watched.reflector.refresh(&watched.cluster, &fewer, Standing::Healthy).await.unwrap();
    let closed = async {
        while watched.simulator.counts().open_watches != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, closed).await.expect("unused watches are closed");
    assert_eq!(watched.reflector.snapshot().len(), 1);
}

#[tokio::test]
async fn target_without_http2_is_polled() {
    let settings = simulator::Settings { http2: false, ..Default::default() };
    let mut watched = Watched::of(Simulator::with(1, settings).await.unwrap()).await;
    let Some(CheckMode::Poll(why)) = watched.reflector.mode("c1") else { panic!("not polled") };
    assert_eq!(why.reason, Reason::NoHttp2);
    watched.set(Health::Broken);
    assert!(timeout(ROUND / 3, watched.reflector.changed(watched.cluster.limits())).await.is_err());
    watched.refresh().await.unwrap();
    assert_eq!(ready_of(&watched.reflector.snapshot()), Some(0));
}

#[tokio::test]
async fn watch_cut_repeatedly_falls_back_to_polling() {
    let mut watched = Watched::new().await;
    let cut = async {
        while watched.reflector.mode("c1") == Some(CheckMode::Watch) {
            watched.simulator.end_watches(0);
            assert_eq!(watched.change().await, Change::Ended);
            watched.refresh().await.unwrap();
        }
    };
    timeout(SOON, cut).await.unwrap();
    let Some(CheckMode::Poll(why)) = watched.reflector.mode("c1") else { panic!("not polled") };
    assert_eq!(why.reason, Reason::WatchBroken);
    watched.set(Health::Broken);
    watched.refresh().await.unwrap();
    assert_eq!(ready_of(&watched.reflector.snapshot()), Some(0));
}

/// Each fault begins on a healthy target: the next round reports it, and after its end all changes are known.
#[tokio::test]
async fn watch_faults_are_reported_and_recovered_from() {
    let faults = [
        (Fault::HangAtConnect, Reason::TimedOut),
        (Fault::HangInTls, Reason::TimedOut),
        (Fault::HangBeforeHeaders, Reason::TimedOut),
        (Fault::HangInBody, Reason::TimedOut),
        (Fault::Reset, Reason::ConnectionLost),
        (Fault::Blackhole, Reason::TimedOut),
        (Fault::TooManyRequests, Reason::Throttled),
        (Fault::ServerError, Reason::ServerError),
        (Fault::Unauthorized, Reason::Unauthorized),
        (Fault::WrongCertificate, Reason::CertificateUnknown),
    ];
    let rows = faults.map(|(fault, reason)| async move {
        let mut watched = Watched::new().await;
        watched.simulator.inject(0, Some(fault));
        watched.set(Health::Broken);
        let failure = loop {
            if let Err(failure) = watched.refresh().await {
                break failure;
            }
        };
        assert_eq!(failure.reason, reason, "{fault:?}: {failure}");
        watched.simulator.inject(0, None);
        if fault == Fault::TooManyRequests {
            assert_eq!(watched.refresh().await.unwrap_err().reason, Reason::Throttled, "Retry-After still applies");
            return;
        }
        watched.refresh().await.unwrap();
        watched.until_ready(Some(0)).await;
    });
    futures::future::join_all(rows).await;
}

/// A watch that opens and stays silent is no sign of life: several rounds in a row must fail for the verdict.
#[tokio::test]
async fn hung_target_that_opens_watches_fails_every_round() {
    for fault in [Fault::HangInBody, Fault::HangBeforeHeaders] {
        let mut watched = Watched::new().await;
        watched.simulator.inject(0, Some(fault));
        watched.refresh().await.unwrap_err();
        let requests = watched.simulator.requests();
        for round in 1..=2 {
            let failure = watched.reflector.refresh(&watched.cluster, &queries(), Standing::Failing).await.unwrap_err();
            assert_eq!(failure.reason, Reason::TimedOut, "{fault:?}");
            assert_eq!(watched.simulator.requests() - requests, round, "one probe a round until it answers");
        }
        watched.simulator.inject(0, None);
        watched.reflector.refresh(&watched.cluster, &queries(), Standing::Failing).await.unwrap();
        assert!(watched.reflector.is_following());
    }
}

/// Faults of watches only.
#[tokio::test]
async fn hostile_watch_is_bounded_and_reported() {
    for fault in
        [Fault::OversizedLine, Fault::InvalidJson, Fault::OversizedBody, Fault::OversizedLabels, Fault::GrowingWatch]
    {
        let mut watched = Watched::new().await;
        watched.simulator.inject(0, Some(fault));
        // Forces a relist.
        watched.set(Health::Broken);
        watched.simulator.compact(0);
        watched.simulator.end_watches(0);
        let found = async {
            loop {
                match watched.refresh().await {
                    Err(failure) => break failure.reason,
                    Ok(()) => {
                        if let Some(CheckMode::Poll(why)) = watched.reflector.mode("c1") {
                            break why.reason;
                        }
                    }
                }
                let _ = timeout(Duration::from_secs(1), watched.reflector.changed(watched.cluster.limits())).await;
            }
        };
        let reason = timeout(SOON, found).await.unwrap_or_else(|_| panic!("{fault:?} is not reported"));
        let expected = match fault {
            Fault::InvalidJson | Fault::OversizedLabels => Reason::InvalidAnswer,
            _ => Reason::AnswerTooLarge,
        };
        assert_eq!(reason, expected, "{fault:?}");
        watched.simulator.inject(0, None);
        watched.refresh().await.unwrap();
        watched.until_ready(Some(0)).await;
    }
}
