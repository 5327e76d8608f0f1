//! Controls simulated clusters while they run. Everything takes effect at once, also on open watches.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Simulator;
use super::catalogue::{Component, ComponentId, Health, Kind};
use super::fault::Fault;

impl Simulator {
    /// The components of every cluster. [`Component::id`] is the index.
    pub fn components(&self) -> impl Iterator<Item = Component> {
        self.fleet.catalogue.objects.iter().map(|object| object.component)
    }

    /// The component with this name; `None` if no tool has it. `namespace` is empty for cluster-scoped kinds.
    pub fn component(&self, kind: Kind, namespace: &str, name: &str) -> Option<ComponentId> {
        self.fleet.catalogue.find(kind, namespace, name).map(|object| object.component.id)
    }

    /// Breaks, repairs or deletes a component of a cluster. Returns whether anything changed.
    pub fn set(&self, number: u32, id: ComponentId, health: Health) -> bool {
        let (Some(cluster), Some(object)) =
            (self.fleet.cluster(number), self.fleet.catalogue.affected_object(id, health))
        else {
            return false;
        };
        let place = object.component.id.0;
        // Repairing a Service also repairs its endpoints.
        let also = match health {
            Health::Healthy => {
                self.fleet.catalogue.affected_object(id, Health::Broken).map(|object| object.component.id.0)
            }
            _ => None,
        };
        let (idle, events) = (self.fleet.idle_version(), self.fleet.settings.events);
        cluster.change(|state| {
            let changed = state.set(place, health, idle, events);
            also.is_some_and(|also| state.set(also, health, idle, events)) || changed
        })
    }

    /// Changes something of an object that no check reads.
    pub fn touch(&self, number: u32, id: ComponentId) {
        if let Some(cluster) = self.fleet.cluster(number) {
            let (idle, events) = (self.fleet.idle_version(), self.fleet.settings.events);
            cluster.change(|state| state.touch(id.0, idle, events));
        }
    }

    /// Repairs everything on a cluster. Returns whether anything changed.
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

    /// Breaks Flux in the first `count` clusters and repairs it in the others.
    pub fn break_first(&self, count: u32) {
        self.break_first_of(self.clusters(), count);
    }

    /// Like [`Self::break_first`], within the first `clusters`.
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

    /// Sets or removes the fault of a cluster.
    pub fn inject(&self, number: u32, fault: Option<Fault>) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.inject(fault, self.fleet.idle_version()));
        }
    }

    /// Sets the fault of a fraction of all clusters, spread evenly, and returns their numbers.
    pub fn inject_share(&self, share: f64, fault: Option<Fault>) -> Vec<u32> {
        let numbers = self.share(share);
        numbers.iter().for_each(|number| self.inject(*number, fault));
        numbers
    }

    /// A fraction of all clusters (0.2: a fifth), spread evenly.
    pub fn share(&self, share: f64) -> Vec<u32> {
        let below = |number: u32| (f64::from(number) * share).floor();
        (0..self.clusters()).filter(|number| below(number + 1) > below(*number)).collect()
    }

    /// The current fault of a cluster; `None` without a fault, and for an unknown cluster.
    pub fn fault(&self, number: u32) -> Option<Fault> {
        self.fleet.cluster(number)?.state().fault
    }

    /// Delays everything that clusters send, like a network with this round-trip time. Rounded down to ms.
    pub fn delay(&self, delay: Duration) {
        let delay = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
        self.fleet.clusters.iter().for_each(|cluster| cluster.delay.store(delay, Relaxed));
    }

    /// Replaces the token of a cluster. The old one gets 401 from now on; open watches stay open.
    pub fn rotate(&self, number: u32) {
        self.issue(number);
        self.revoke(number);
    }

    /// Issues a new token for a cluster; the old one stays valid.
    pub fn issue(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.token += 1);
        }
    }

    /// Revokes all tokens of a cluster except the newest.
    pub fn revoke(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.revoked = state.token);
        }
    }

    /// Compacts the history of a cluster: a watch from an older resourceVersion gets 410.
    pub fn compact(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.compact(self.fleet.idle_version()));
        }
    }

    /// Ends the open watches of a cluster, as a server does on their timeout.
    pub fn end_watches(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.commands.end_watches += 1);
        }
    }

    /// Closes the open connections of a cluster, like a restart of its API server.
    pub fn close(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.commands.close += 1);
        }
    }

    /// Sends GOAWAY on the open connections of a cluster: watches continue, new requests need a new connection.
    pub fn go_away(&self, number: u32) {
        if let Some(cluster) = self.fleet.cluster(number) {
            cluster.change(|state| state.commands.go_away += 1);
        }
    }
}
