//! Watches that stay open and deliver nothing, while every other request is answered.

use super::*;

/// Longer than the time between two bookmarks of the simulator.
const SILENCE: Duration = Duration::from_secs(8);

/// Watches a server that sends bookmarks every 500 ms.
async fn watched(settings: Settings) -> Watched {
    let often = simulator::Settings { bookmarks: Duration::from_millis(500), ..Default::default() };
    let limits = Limits::new(Settings { round_timeout: ROUND, connect_timeout: ROUND, ..settings });
    Watched::within(Simulator::with(1, often).await.unwrap(), Arc::new(limits)).await
}

impl Watched {
    fn why_polled(&self) -> Option<Reason> {
        match self.reflector.mode("c1").unwrap() {
            CheckMode::Watch => None,
            CheckMode::Poll(why) => Some(why.reason),
        }
    }

    /// Runs rounds until the target is polled for `reason`, or watched if `None`.
    async fn until_polled_for(&mut self, reason: Option<Reason>) {
        let polled = async {
            while self.why_polled() != reason {
                let _ = timeout(Duration::from_millis(200), self.reflector.changed(self.cluster.limits())).await;
                self.refresh().await.unwrap();
            }
        };
        timeout(SOON, polled).await.unwrap_or_else(|_| panic!("timed out waiting to be polled for {reason:?}"));
    }
}

#[tokio::test]
async fn quiet_watch_gap_is_found_within_one_rotation() {
    let watches = queries().iter().filter(|query| matches!(query, Query::List { .. })).count();
    for name in ["argocd-server", "argocd-application-controller"] {
        let mut watched = Watched::new().await;
        watched.simulator.inject(0, Some(Fault::QuietWatches));
        let kind = if name == "argocd-server" { Kind::Deployment } else { Kind::StatefulSet };
        let component = watched.simulator.component(kind, "argocd", name).unwrap();
        let before = watched.reflector.snapshot();
        assert!(watched.simulator.set(0, component, Health::Broken));
        for _ in 0..watches {
            watched.refresh().await.unwrap();
        }
        assert_ne!(watched.reflector.snapshot(), before, "{name}");
        assert_eq!(watched.why_polled(), Some(Reason::WatchBroken), "{name}");
        assert_eq!(watched.simulator.counts().open_watches, 0);
        // From now on each round lists everything.
        assert!(watched.simulator.set(0, component, Health::Healthy));
        watched.refresh().await.unwrap();
        assert_eq!(watched.reflector.snapshot(), before, "{name}");
    }
}

#[tokio::test]
async fn quiet_watch_without_changes_breaks_after_the_silence() {
    let mut watched = watched(Settings { watch_silence: SILENCE, ..Settings::default() }).await;
    let began = tokio::time::Instant::now();
    while began.elapsed() < SILENCE * 3 / 2 {
        assert!(timeout(SILENCE / 10, watched.reflector.changed(watched.cluster.limits())).await.is_err());
        watched.refresh().await.unwrap();
        assert_eq!(watched.why_polled(), None, "bookmarks arrive");
    }
    watched.simulator.inject(0, Some(Fault::QuietWatches));
    let since = tokio::time::Instant::now();
    watched.until_polled_for(Some(Reason::WatchBroken)).await;
    assert!(since.elapsed() > SILENCE / 2, "{:?}", since.elapsed());
    watched.set(Health::Broken);
    watched.refresh().await.unwrap();
    assert_eq!(ready_of(&watched.reflector.snapshot()), Some(0), "it is polled");
}

#[tokio::test]
async fn quiet_watch_is_polled_until_it_delivers_again() {
    let again = Duration::from_millis(500);
    let mut watched = watched(Settings { watch_again: again, watch_silence: SILENCE, ..Settings::default() }).await;
    watched.simulator.inject(0, Some(Fault::QuietWatches));
    watched.set(Health::Broken);
    watched.until_polled_for(Some(Reason::WatchBroken)).await;
    for round in 0..20 {
        let health = if round % 2 == 0 { Health::Healthy } else { Health::Broken };
        watched.set(health);
        watched.refresh().await.unwrap();
        assert_eq!(ready_of(&watched.reflector.snapshot()), Some(u32::from(health == Health::Healthy)), "{round}");
        assert_eq!(watched.why_polled(), Some(Reason::WatchBroken), "{round}: the watch opens and delivers nothing");
        tokio::time::sleep(again / 5).await;
    }
    watched.simulator.inject(0, None);
    watched.until_polled_for(None).await;
    assert!(watched.reflector.is_following());
    watched.set(Health::Healthy);
    watched.until_ready(Some(1)).await;
}

/// A change in flight, or delivered after the list was made, does not count as lost.
#[tokio::test]
async fn busy_watch_is_never_mistaken_for_a_quiet_one() {
    let mut watched = Watched::new().await;
    watched.simulator.delay(Duration::from_millis(20));
    let all = watched.simulator.components().filter(|component| component.namespace == "argocd");
    let all: Vec<ComponentId> = all.map(|component| component.id).collect();
    let Watched { simulator, cluster, reflector, .. } = &mut watched;
    let changes = async {
        for change in 0_u64.. {
            let health = [Health::Broken, Health::Absent, Health::Healthy][change as usize % 3];
            simulator.set(0, all[change as usize * 7 % all.len()], health);
            tokio::time::sleep(Duration::from_millis(change % 4)).await;
        }
    };
    let rounds = async {
        for round in 0..100 {
            reflector.refresh(cluster, &queries(), Standing::Healthy).await.unwrap();
            assert_eq!(reflector.mode("c1"), Some(CheckMode::Watch), "round {round}");
        }
    };
    tokio::select! { () = rounds => {}, () = changes => {} }
    simulator.mend(0);
    watched.until_ready(Some(1)).await;
    assert!(watched.simulator.counts().lists >= 4 + 60, "lists were compared");
}
