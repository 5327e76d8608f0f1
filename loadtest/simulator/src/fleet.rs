//! All simulated clusters and their shared state.

use std::time::Instant;

use super::catalogue::{Catalogue, FIRST_VERSION, Object};
use super::cluster::{Cluster, State};
use super::settings::Settings;

pub(super) struct Fleet {
    pub(super) catalogue: Catalogue,
    pub(super) settings: Settings,
    pub(super) clusters: Vec<Cluster>,
    pub(super) began: Instant,
}

impl Fleet {
    pub(super) fn new(count: u32, settings: Settings) -> Self {
        Self {
            catalogue: Catalogue::with_managed(settings.managed),
            settings,
            clusters: (0..count).map(|_| Cluster::new()).collect(),
            began: Instant::now(),
        }
    }

    pub(super) fn cluster(&self, number: u32) -> Option<&Cluster> {
        self.clusters.get(number as usize)
    }

    /// The resourceVersion of an unchanged cluster: grows by one every second.
    pub(super) fn idle_version(&self) -> u64 {
        FIRST_VERSION + self.began.elapsed().as_secs()
    }

    /// The oldest version from which a watch can start.
    pub(super) fn oldest(&self, state: &State) -> u64 {
        let kept = self.began.elapsed().saturating_sub(self.settings.history);
        state.compacted.max(FIRST_VERSION + kept.as_secs())
    }

    pub(super) fn object(&self, place: u16) -> &Object {
        &self.catalogue.objects[usize::from(place)]
    }
}

/// The bearer token of a cluster after a number of rotations.
pub(super) fn token(number: u32, rotations: u32) -> String {
    match rotations {
        0 => "simulated".to_owned(),
        rotations => format!("simulated-{number}-{rotations}"),
    }
}
