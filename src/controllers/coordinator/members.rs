//! Keeps the shard map as the members are: judges their Leases, takes those of the dead, writes the map.
//!
//! ```text
//! Leases, heartbeats, StatefulSet ─> who takes part ─┐
//! weights of the slots ──────────────────────────────┴─> assignment ─> one write of the ShardMap ─> fleet
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::exchange::Exchange;
use super::write_fence::WriteFence;
use crate::api::ShardMapStatus;
use crate::domain::assignment::{Assignment, Change, Facts, assign};
use crate::domain::member::{Holder, MemberLease, MemberState, Observer, Timing};
use crate::domain::membership::{Command, Membership};
use crate::domain::replica::{Epoch, Incarnation, ReplicaName};
use crate::domain::shard_map::ShardMap;
use crate::hub::{LeaseBoard, MapStore, MemberLeases, PromptError, StatefulSets, StoredMap, order};
use crate::observability::Metrics;

const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// Why a reign ends although the Lease is still held.
#[derive(Debug, thiserror::Error)]
pub enum TermEnd {
    #[error("the ShardMap names {0} as the coordinator now")]
    Outranked(String),
    #[error("no member can be heard though others live: this replica seems to be cut off")]
    CutOff,
}

/// What the members' keeper works with.
pub struct MembersContext {
    pub board: Arc<LeaseBoard>,
    pub leases: MemberLeases,
    pub store: MapStore,
    pub stateful_set: StatefulSets,
    pub fence: WriteFence,
    pub exchange: Arc<Exchange>,
    pub timing: Timing,
    /// Empty: all.
    pub watched_namespaces: Vec<String>,
    pub metrics: Metrics,
}

pub struct Members {
    context: MembersContext,
    /// As this reign wrote it last.
    stored: StoredMap,
    term_since: Duration,
    /// When the members of the map last changed.
    changed: Option<Duration>,
    moved_for_weight: Option<Duration>,
    wanted: Option<u32>,
    /// The map on the hub is not ours any more: to be written again with a higher epoch.
    spoilt: Option<Epoch>,
    deleted: bool,
}

impl Members {
    /// `stored` is the map as it was claimed.
    pub fn new(context: MembersContext, stored: StoredMap) -> Self {
        let term_since = context.board.clock().now();
        Self {
            context,
            stored,
            term_since,
            changed: None,
            moved_for_weight: None,
            wanted: None,
            spoilt: None,
            deleted: false,
        }
    }

    /// Until the reign ends. `maps` hears of every version that was written.
    pub async fn run(mut self, mut seen: watch::Receiver<Option<StoredMap>>, maps: mpsc::Sender<ShardMap>) -> TermEnd {
        let clock = self.context.board.clock();
        let mut leases = self.context.board.changes();
        let mut pasts = self.context.board.history().changes();
        let mut weights = self.context.exchange.weights.subscribe();
        let mut next_status = Instant::now() + self.context.timing.round;
        self.look_at_stateful_set().await;
        loop {
            leases.mark_unchanged();
            weights.mark_unchanged();
            let stored = seen.borrow_and_update().clone();
            let went_back = pasts.has_changed().unwrap_or_default();
            let compared = if went_back { self.read_anew(&mut pasts).await } else { self.compare(stored).await };
            if let Err(end) = compared {
                return end;
            }
            let wait = match self.turn(&maps).await {
                Ok(wait) => wait,
                Err(end) => return end,
            };
            if next_status <= Instant::now() {
                if let Err(end) = self.write_status().await {
                    return end;
                }
                next_status = Instant::now() + self.context.timing.round;
            }
            let next = wait.map_or(next_status, |wait| clock.at(wait).min(next_status));
            tokio::select! {
                () = sleep_until(next) => {}
                _ = leases.changed() => {}
                _ = weights.changed() => {}
                _ = seen.changed() => {}
                _ = pasts.changed() => pasts.mark_changed(),
            }
        }
    }

    /// After the hub went back: the map is what it has now, whatever its number.
    async fn read_anew(&mut self, pasts: &mut watch::Receiver<u64>) -> Result<(), TermEnd> {
        pasts.mark_unchanged();
        match self.context.store.read().await {
            Ok(read) => self.accept(read),
            Err(error) => {
                tracing::warn!(%error, "the shard map can't be read; trying again");
                sleep(AFTER_A_FAILURE).await;
                pasts.mark_changed();
                Ok(())
            }
        }
    }

    /// One decision and what follows from it; when to decide again at the latest.
    async fn turn(&mut self, maps: &mpsc::Sender<ShardMap>) -> Result<Option<Duration>, TermEnd> {
        let leases = self.leases();
        let left = |name: &ReplicaName| leases.get(name).is_none_or(|lease| lease.holder == Holder::Nobody);
        if self.stored.published.map.members.keys().any(left) {
            self.look_at_stateful_set().await;
        }
        let now = self.context.board.clock().now();
        let last = self.stored.published.map.members.clone();
        let decision = self.membership(&leases, &last).decide(now);
        self.measure(&leases, now);
        let mut again = decision.next_check;
        for command in decision.commands {
            match command {
                Command::StepDown => return Err(TermEnd::CutOff),
                Command::TakeLease { name, resource_version } => {
                    if self.context.fence.is_open() {
                        self.take(&name, &resource_version).await;
                    }
                }
            }
        }
        let Some(members) = decision.members else { return Ok(again) };
        let assignment = self.assign(members.keys().cloned().collect(), now);
        if let Change::WeightLater(at) = assignment.change {
            again = Some(again.map_or(at, |again| again.min(at)));
        }
        let map = &self.stored.published.map;
        let next = match self.spoilt {
            Some(epoch) => Some(ShardMap { epoch: epoch.next(), members, shards: assignment.shards, term: map.term }),
            None => map.next(map.term, members, assignment.shards),
        };
        if let Some(next) = next {
            let members_changed = next.members != last;
            if self.publish(next, maps).await? {
                self.measure(&leases, now);
                self.changed = if members_changed { Some(now) } else { self.changed };
                self.moved_for_weight =
                    if assignment.change == Change::Weight { Some(now) } else { self.moved_for_weight };
                again = Some(now + self.context.timing.damping);
            } else {
                again = Some(now + AFTER_A_FAILURE);
            }
        }
        Ok(again)
    }

    fn assign(&self, members: BTreeSet<ReplicaName>, now: Duration) -> Assignment {
        let weights = self.context.exchange.weights.borrow();
        let facts = Facts {
            members: &members,
            weights: &weights,
            last: &self.stored.published.map.shards,
            moved_for_weight: self.moved_for_weight,
        };
        assign(&facts, now)
    }

    /// Writes the map. False if that has to be tried again.
    async fn publish(&mut self, map: ShardMap, maps: &mpsc::Sender<ShardMap>) -> Result<bool, TermEnd> {
        if !self.context.fence.is_open() {
            return Ok(false);
        }
        let mut published = self.stored.published.clone();
        published.map = map;
        let over = (!self.deleted).then_some(&self.stored);
        match self.context.store.write(&published, over).await {
            Ok(stored) => {
                tracing::info!(
                    term = %published.map.term, epoch = %published.map.epoch, members = published.map.members.len(),
                    "published the shard map"
                );
                (self.stored, self.spoilt, self.deleted) = (stored, None, false);
                let _ = maps.send(published.map).await;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(%error, "the shard map can't be written; looking at it again");
                let read = self.context.store.read().await;
                if let Ok(read) = read {
                    self.accept(read)?;
                }
                Ok(false)
            }
        }
    }

    /// Looks whether the map that the watch saw is still ours.
    async fn compare(&mut self, seen: Option<StoredMap>) -> Result<(), TermEnd> {
        match seen {
            Some(seen) if version(&seen) > version(&self.stored) => self.accept(Some(seen)),
            Some(_) => Ok(()),
            // The watch may be behind our own write.
            None => match self.context.store.read().await {
                Ok(read) => self.accept(read),
                Err(_) => Ok(()),
            },
        }
    }

    /// The map as it is on the hub now.
    fn accept(&mut self, read: Option<StoredMap>) -> Result<(), TermEnd> {
        let ours = &self.stored.published;
        let Some(read) = read else {
            tracing::warn!("the ShardMap was deleted; writing it again");
            (self.deleted, self.spoilt) = (true, Some(ours.map.epoch));
            return Ok(());
        };
        if read.published.coordinator != ours.coordinator || read.published.map.term != ours.map.term {
            return Err(TermEnd::Outranked(read.published.coordinator.name.to_string()));
        }
        if read.published != *ours {
            tracing::warn!("the ShardMap was changed by somebody else; writing it again");
            self.spoilt = Some(read.published.map.epoch.max(ours.map.epoch));
        }
        self.deleted = false;
        self.stored.metadata = read.metadata;
        Ok(())
    }

    async fn take(&self, name: &ReplicaName, resource_version: &str) {
        match self.context.leases.take(&self.context.board, name, resource_version).await {
            Ok(()) => tracing::warn!(replica = %name, "silent for a full Lease duration: declared dead"),
            Err(PromptError::Conflict) => tracing::info!(replica = %name, "it renewed at the last moment"),
            Err(error) => tracing::warn!(replica = %name, %error, "the Lease of a silent member can't be taken yet"),
        }
    }

    /// Says on the map how fresh the fleet is.
    async fn write_status(&mut self) -> Result<(), TermEnd> {
        if !self.context.fence.is_open() || self.deleted {
            return Ok(());
        }
        let status = ShardMapStatus {
            observed_at: Some(Timestamp::now().to_string()),
            round_seconds: u32::try_from(self.context.timing.round.as_secs()).ok(),
            watched_namespaces: Some(self.context.watched_namespaces.clone()),
            replicas: self.context.exchange.loads.borrow().clone(),
        };
        match self.context.store.write_status(&status, &self.stored).await {
            Ok(stored) => self.stored.metadata = stored.metadata,
            Err(PromptError::Conflict) => {
                if let Ok(read) = self.context.store.read().await {
                    return self.accept(read);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the freshness of the fleet can't be written this time");
                sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    async fn look_at_stateful_set(&mut self) {
        match self.context.stateful_set.replicas().await {
            Ok(replicas) => self.wanted = replicas,
            Err(error) => tracing::warn!(%error, "the StatefulSet can't be read; going by what it said last"),
        }
    }

    fn leases(&self) -> BTreeMap<ReplicaName, MemberLease> {
        let mut leases = self.context.board.members(&self.context.leases.installation);
        for lease in leases.values_mut() {
            if let Holder::Process(process) = &lease.holder {
                lease.heard = self.context.exchange.heard(process);
            }
        }
        leases
    }

    fn membership<'a>(
        &'a self,
        leases: &'a BTreeMap<ReplicaName, MemberLease>,
        last: &'a BTreeMap<ReplicaName, Incarnation>,
    ) -> Membership<'a> {
        let observer = Observer {
            timing: self.context.timing,
            writes_since: self.context.board.writes_since(),
            term_since: self.term_since,
        };
        let me = &self.context.leases.me.name;
        Membership { me, observer, leases, last, wanted: self.wanted, changed: self.changed }
    }

    fn measure(&self, leases: &BTreeMap<ReplicaName, MemberLease>, now: Duration) {
        let map = &self.stored.published.map;
        let membership = self.membership(leases, &map.members);
        let is_there = |name: &ReplicaName| {
            leases.get(name).is_some_and(|lease| membership.state(name, lease, now) <= MemberState::Silent)
        };
        let weights = self.context.exchange.weights.borrow();
        let owned: u64 =
            map.shards.iter().filter(|(name, _)| is_there(name)).map(|(_, slots)| weights.of_slots(slots)).sum();
        let orphaned = weights.total().saturating_sub(owned);
        self.context.metrics.targets_orphaned.set_count(orphaned);
        let living = leases.keys().filter(|name| is_there(name)).count();
        self.context.metrics.members.set_count(living);
    }
}

fn version(stored: &StoredMap) -> u128 {
    order(stored.metadata.resource_version.as_deref())
}
