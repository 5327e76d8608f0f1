//! What can be done to simulated clusters while they run. Everything takes effect at once, also on open watches.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Simulator;
use super::catalogue::{Component, ComponentId, Health, Kind};
use super::fault::Fault;

impl Simulator {
    /// What every cluster has. [`Component::id`] is its place.
    pub fn components(&self) -> impl Iterator<Item = Component> {
        self.fleet.catalogue.objects.iter().map(|object| object.component)
    }

    pub fn component(&self, kind: Kind, namespace: &str, name: &str) -> Option<ComponentId> {
        self.fleet.catalogue.find(kind, namespace, name).map(|object| object.component.id)
    }

    /// Breaks, mends or deletes a component of a cluster. Whether that changed anything.
    pub fn set(&self, number: u32, id: ComponentId, health: Health) -> bool {
        let (Some(cluster), Some(object)) = (self.fleet.cluster(number), self.fleet.catalogue.bearer(id, health))
        else {
            return false;
        };
        let place = object.component.id.0;
        // A Service is mended with its endpoints.
        let also = match health {
            Health::Healthy => self.fleet.catalogue.bearer(id, Health::Broken).map(|object| object.component.id.0),
            _ => None,
        };
        let (idle, events) = (self.fleet.idle_version(), self.fleet.settings.events);
        cluster.change(|state| {
            let changed = state.set(place, health, idle, events);
            also.is_some_and(|also| state.set(also, health, idle, events)) || changed
        })
    }

    /// Mends everything on a cluster. Whether that changed anything.
    pub fn mend(&self, number: u32) -> bool {
        let Some(cluster) = self.fleet.cluster(number) else { return false };
        let (idle, events) = (self.fleet.idle_version(), self.fleet.settings.events);
        let broken: Vec<u16> = {
            let state = cluster.state();
            let broken = state.differing.iter().filter(|(_, differing)| differing.health != Health::Healthy);
            broken.map(|(object, _)| *object).collect()
        };
        if broken.is_empty() {
            return false;
        }
        cluster.change(|state| {
            broken.iter().filter(|object| state.set(**object, Health::Healthy, idle, events)).count() > 0
        })
    }

    /// From now on Flux is broken in the first `count` clusters, and healthy in the others.
    pub fn break_first(&self, count: u32) {
        self.break_first_of(self.clusters(), count);
    }

    /// The same within the first `clusters`.
    pub fn break_first_of(&self, clusters: u32, count: u32) {
        let flux: Vec<ComponentId> = self
            .components()
            .filter(|component| component.tool == "flux" && component.kind == Kind::Deployment)
            .map(|component| component.id)
            .collect();
        for number in 0..clusters {
            let health = if number < count { Health::Broken } else { Health::Healthy };
            for id in &flux {
                self.set(number, *id, health);
            }
        }
    }

    /// Gives a cluster a fault, or takes it away.
    pub fn inject(&self, number: u32, fault: Option<Fault>) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.inject(fault, self.fleet.idle_version()));
        }
    }

    /// Gives the fault to that part of all clusters, spread evenly. Which ones.
    pub fn inject_share(&self, share: f64, fault: Option<Fault>) -> Vec<u32> {
        let numbers = self.share(share);
        numbers.iter().for_each(|number| self.inject(*number, fault));
        numbers
    }

    /// So many of all clusters (0.2: a fifth), spread evenly.
    pub fn share(&self, share: f64) -> Vec<u32> {
        let below = |number: u32| (f64::from(number) * share).floor();
        (0..self.clusters()).filter(|number| below(number + 1) > below(*number)).collect()
    }

    pub fn fault(&self, number: u32) -> Option<Fault> {
        self.fleet.cluster(number)?.state().fault
    }

    /// Delays everything that all clusters send, as a network of that round-trip time does. In whole ms.
    pub fn delay(&self, delay: Duration) {
        let delay = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
        self.fleet.clusters.iter().for_each(|cluster| cluster.delay.store(delay, Relaxed));
    }

    /// Gives a cluster a new token. The old one gets 401 from now on; what is open stays open.
    pub fn rotate(&self, number: u32) {
        self.issue(number);
        self.revoke(number);
    }

    /// Gives a cluster a new token beside the old one.
    pub fn issue(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.token += 1);
        }
    }

    /// Refuses all tokens of a cluster but the newest.
    pub fn revoke(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.revoked = state.token);
        }
    }

    /// Forgets what has happened on a cluster: a watch from an older resourceVersion gets 410.
    pub fn compact(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.compact(self.fleet.idle_version()));
        }
    }

    /// Ends the open watches of a cluster, as a server does when their time is over.
    pub fn end_watches(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.orders.end_watches += 1);
        }
    }

    /// Closes the open connections of a cluster, as a restart of its API server does.
    pub fn close(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.orders.close += 1);
        }
    }

    /// Sends GOAWAY on the open connections of a cluster: watches go on, new requests need a new connection.
    pub fn go_away(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.orders.go_away += 1);
        }
    }
}
