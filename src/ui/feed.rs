//! Keeps the index like the hub.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval};

use super::clock::HubClock;
use super::index::{Fleet, Index};
use crate::api::{Integration, IntegrationTarget, ShardMap};
use crate::history::{Observation, Recorder};
use crate::hub::{Change, History, merge, watch};
use crate::lists::Freshness;

/// Interval at which the age of the statuses is looked at.
const AGE_CHECK: Duration = Duration::from_secs(2);

/// The part of the hub that is shown.
pub(super) struct Feed {
    /// Has the rights to list and watch the three kinds.
    pub(super) client: Client,
    /// Empty: all namespaces.
    pub(super) namespaces: Vec<String>,
    /// The time of the hub.
    pub(super) clock: HubClock,
    /// Records what changes.
    pub(super) recorder: Option<Arc<Recorder>>,
}

impl Feed {
    /// Applies the hub's changes to the index. Never ends: a broken watch is made again, and until then the statuses become
    /// stale.
    pub(super) async fn run(&self, index: &Arc<Index>) -> Infallible {
        let history = History::default();
        let mut targets = self.watch_all::<IntegrationTarget>(&history);
        let mut integrations = self.watch_all::<Integration>(&history);
        let mut maps = self.watch_all::<ShardMap>(&history);
        let mut age_check = interval(AGE_CHECK);
        age_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stale = None;
        loop {
            tokio::select! {
                Some(change) = targets.next() => {
                    self.record(&change).await;
                    index.apply_target(change);
                }
                Some(change) = integrations.next() => index.apply_integration(change),
                Some(change) = maps.next() => {
                    if let (Some(recorder), Change::Applied(_)) = (&self.recorder, &change) {
                        recorder.alive(self.clock.now().as_millisecond()).await;
                    }
                    index.apply_map(change);
                }
                _ = age_check.tick() => {
                    let now = why_stale(&index.read(), self.clock.now());
                    if now != stale {
                        stale = now;
                        index.touch();
                    }
                }
            }
        }
    }

    async fn record(&self, change: &Change<IntegrationTarget>) {
        let (Some(recorder), now) = (&self.recorder, self.clock.now().as_millisecond()) else { return };
        match change {
            Change::Applied(target) => {
                if let Some(observation) = Observation::of(target) {
                    recorder.observed(now, observation).await;
                }
            }
            Change::Deleted(key) => recorder.gone(now, key.clone()).await,
            Change::Listed(keys) => recorder.listed(now, keys.clone()).await,
        }
    }

    fn watch_all<K>(&self, history: &History) -> BoxStream<'static, Change<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let one = |namespace: Option<&str>| watch::<K>(self.client.clone(), history, namespace, None).boxed();
        match &self.namespaces[..] {
            [] => one(None),
            names => merge(names.iter().map(|name| one(Some(name))).collect()),
        }
    }
}

/// Why the statuses may be older than they look; `None` if a coordinator has just confirmed them. A watch of ours that
/// hangs misses the coordinator's writes too.
pub(super) fn why_stale(fleet: &Fleet, now: Timestamp) -> Option<String> {
    if !fleet.listed.contains("IntegrationTarget") {
        return Some("the hub has not answered yet".to_owned());
    }
    if fleet.maps.is_empty() {
        let why = if fleet.listed.contains("ShardMap") {
            "no replica of ksit has written to this hub"
        } else {
            "no ShardMap could be read"
        };
        return (!fleet.clusters.is_empty()).then(|| why.to_owned());
    }
    let words = fleet.maps.values().filter_map(|map| {
        let freshness = Freshness::of(&map.status.clone().unwrap_or_default(), now);
        let name = format!("{}/{}", map.namespace().unwrap_or_default(), map.name_any());
        freshness.is_stale().then(|| format!("{name}: {}", freshness.words_without_age()))
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hub::Change;

    #[test]
    fn statuses_are_stale_until_a_coordinator_confirms_them() {
        let index = Arc::new(Index::default());
        let why = |now: &str| why_stale(&index.read(), now.parse().unwrap());
        assert_eq!(why("2026-01-01T00:00:00Z").unwrap(), "the hub has not answered yet");
        index.apply_target(Change::Listed(Default::default()));
        assert_eq!(why("2026-01-01T00:00:00Z"), None, "an empty fleet is not stale");
        let map: ShardMap = serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1", "kind": "ShardMap",
            "metadata": {"name": "ksit", "namespace": "a"},
            "spec": {"term": 1, "epoch": 1, "coordinator": {"name": "ksit-0", "podUid": "u", "nonce": "n"}},
            "status": {"observedAt": "2026-01-01T00:00:00Z", "replicas": []}}))
        .unwrap();
        index.apply_map(Change::Applied(Box::new(map)));
        assert_eq!(why("2026-01-01T00:01:00Z"), None);
        let late = why("2026-01-01T00:02:00Z").unwrap();
        assert_eq!(late, "a/ksit: no coordinator has written since 2026-01-01T00:00:00Z");
        assert_eq!(why("2026-01-01T00:03:00Z"), Some(late), "it changes once");
    }
}
