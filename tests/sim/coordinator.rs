//! The shell of the coordinator: feeds the program's own `domain::coordinator` and performs its effects on the
//! simulated hub.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ksit::domain::coordinator::{
    CachedStatus, Config, Coordinator, Effect, Event, Message, Now, ObjectEvent, Shown, TargetObject, TargetWrite,
    TermEnd,
};
use ksit::domain::desired::DesiredTarget;
use ksit::domain::keys::TargetKey;
use ksit::domain::member::{Holder, MemberLease};
use ksit::domain::replica::{Epoch, Incarnation, ReplicaName, Term};
use ksit::domain::report::FromWorker;
use ksit::domain::shard_map::{PublishedMap, ShardMap};
use ksit::domain::slot::Slot;
use ksit::domain::status::TargetStatus;

use super::hub::{Lease, StatusWrite, Stored, Write};
use super::replica::Replica;
use super::world::{Broken, COORDINATOR, Net, Outcome, REQUEST, TIMING, ToCoordinator, number_of, target};

const TICK: Duration = Duration::from_secs(2);

/// The coordinator role of one term.
pub struct Leader {
    pub term: Term,
    coordinator: Coordinator,
    /// Version of the map as it was last written or read.
    map_version: u64,
    requests: VecDeque<Effect>,
    /// Statuses to write, newest only.
    writes: BTreeMap<usize, StatusWrite>,
    /// Reporter and epoch of the last write of each target, and the newest map that was known then.
    origins: BTreeMap<usize, (Option<ReplicaName>, Option<Epoch>, i64)>,
    next_tick: Duration,
    has_leases: bool,
}

impl Replica {
    fn may_write(&self, now: Duration) -> bool {
        self.leading.is_some_and(|leading| leading.claim.covers(now, REQUEST))
    }

    pub fn coordinate(&mut self, net: &mut Net<'_>, now: Duration) {
        if self.leading.is_none_or(|leading| !leading.claim.valid_at(now)) {
            self.leader = None;
        } else if self.leader.is_none() {
            self.claim(net, now);
        }
        if self.leader.is_none() {
            return;
        }
        for number in std::mem::take(&mut self.changed) {
            self.handle(net, now, Event::Target(ObjectEvent::Applied(Box::new(self.object(number)))), None);
        }
        let is_first = self.leader.as_mut().is_some_and(|leader| !std::mem::replace(&mut leader.has_leases, true));
        if is_first || net.broken != Broken::LeasesUnseen {
            self.handle(net, now, Event::Leases(self.members()), None);
        }
        self.tick(net, now);
        if self.leader.as_ref().is_some_and(|leader| leader.coordinator.next_timer() <= now) {
            self.handle(net, now, Event::Timer, None);
        }
        self.serve(net, now);
        self.compare_map(net, now);
        self.write_statuses(net, now);
    }

    fn claim(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some((over, statuses)) = net.read_all() else { return };
        let status = |status: &super::hub::Status| status.status.clone();
        let shown = Shown {
            terms: statuses.iter().filter_map(|one| status(one)?.term).collect(),
            epochs: statuses.iter().filter_map(|one| status(one)?.report_epoch).collect(),
        };
        self.statuses = statuses;
        let map = shown.claim(over.as_ref().map(|stored| &stored.map));
        if !self.may_write(now) {
            return;
        }
        let version = over.map_or(0, |stored| stored.version);
        let outcome = self.write(net, now, Write::Map(map, self.me.clone(), version));
        let (Outcome::Done(_), Some(stored)) = (outcome, self.map.clone()) else { return };
        let config = Config { me: self.me.clone(), installation: "ksit-system/ksit".to_owned(), timing: TIMING };
        let coordinator = Coordinator::new(config, published(&stored), self.time(net, now));
        self.leader = Some(Leader {
            term: stored.map.term,
            coordinator,
            map_version: stored.version,
            requests: VecDeque::new(),
            writes: BTreeMap::new(),
            origins: BTreeMap::new(),
            next_tick: now,
            has_leases: false,
        });
        self.changed.clear();
        for number in 0..self.statuses.len() {
            self.handle(net, now, Event::Target(ObjectEvent::Applied(Box::new(self.object(number)))), None);
        }
        let keys: BTreeSet<TargetKey> = (0..self.statuses.len()).map(target).collect();
        self.handle(net, now, Event::Target(ObjectEvent::Listed(keys)), None);
        let time = self.time(net, now);
        let Some(leader) = &mut self.leader else { return };
        let effects = leader.coordinator.begin(time);
        self.perform(net, effects, None);
    }

    fn time(&self, net: &Net<'_>, now: Duration) -> Now {
        let writes_since = match net.broken {
            Broken::SilenceInOutage => Some(Duration::ZERO),
            _ => self.writes_since(now),
        };
        let wall = Timestamp::from_millisecond(i64::try_from(net.time).unwrap()).unwrap();
        Now { clock: now, wall, writes_since }
    }

    fn handle(&mut self, net: &mut Net<'_>, now: Duration, event: Event, sender: Option<(&Incarnation, &TargetKey)>) {
        let time = self.time(net, now);
        let Some(leader) = &mut self.leader else { return };
        let effects = leader.coordinator.handle(event, time);
        self.perform(net, effects, sender);
    }

    /// `sender`: of the report that these effects follow from, and its target.
    fn perform(&mut self, net: &mut Net<'_>, effects: Vec<Effect>, sender: Option<(&Incarnation, &TargetKey)>) {
        for effect in effects {
            let Some(leader) = &mut self.leader else { return };
            match effect {
                Effect::StepDown(end) => {
                    self.leader = None;
                    if end == TermEnd::CutOff {
                        self.leading = None;
                    }
                }
                Effect::WriteTarget(write) => {
                    let sender = sender.filter(|(_, target)| **target == write.key);
                    leader.enqueue(*write, sender.map(|(sender, _)| sender.clone()));
                }
                Effect::Send { to, message } => {
                    if net.broken != Broken::RequestsLost {
                        net.answer((self.me.clone(), leader.term), (*to).clone(), message);
                    }
                }
                Effect::TakeLease { .. }
                | Effect::WriteMap { .. }
                | Effect::WriteMapStatus(_)
                | Effect::ReadStatefulSet => leader.requests.push_back(effect),
                Effect::WriteIntegration(_)
                | Effect::LabelSlot(_)
                | Effect::RemoveFinalizer(_)
                | Effect::WatchInstallation(_)
                | Effect::Notify(_)
                | Effect::Metric(_)
                | Effect::Log(_) => {}
            }
        }
    }

    fn tick(&mut self, net: &mut Net<'_>, now: Duration) {
        if let Some(leader) = self.leader.as_mut().filter(|leader| leader.next_tick <= now) {
            leader.next_tick = now + TICK;
            self.handle(net, now, Event::Tick, None);
        }
    }

    /// Performs the requests for Leases and the map, in their order.
    fn serve(&mut self, net: &mut Net<'_>, now: Duration) {
        while let Some(request) = self.leader.as_mut().and_then(|leader| leader.requests.pop_front()) {
            match request {
                Effect::TakeLease { name, resource_version } => {
                    if self.may_write(now) {
                        let lease = Lease { holder: self.me.to_string(), ..Lease::default() };
                        self.write(net, now, Write::Lease(name.to_string(), lease, resource_version.parse().ok()));
                    }
                    self.handle(net, now, Event::LeaseTaken, None);
                }
                Effect::WriteMap { map, .. } => self.write_map(net, now, map.map),
                Effect::WriteMapStatus(_) => self.handle(net, now, Event::MapStatusWritten, None),
                Effect::ReadStatefulSet => {
                    let wanted = if net.broken == Broken::NobodyWanted { 0 } else { net.wanted };
                    self.handle(net, now, Event::StatefulSet(Ok(Some(wanted))), None);
                }
                _ => {}
            }
        }
    }

    fn write_map(&mut self, net: &mut Net<'_>, now: Duration, map: ShardMap) {
        let Some(version) = self.leader.as_ref().map(|leader| leader.map_version) else { return };
        if !self.may_write(now) {
            return self.handle(net, now, Event::MapWriteFailed, None);
        }
        match self.write(net, now, Write::Map(map, self.me.clone(), version)) {
            Outcome::Done(_) => {
                let version = self.map.as_ref().map(|stored| stored.version);
                if let (Some(leader), Some(version)) = (&mut self.leader, version) {
                    leader.map_version = version;
                }
                self.handle(net, now, Event::MapWritten, None);
            }
            // It is read again: it may have been written all the same.
            Outcome::Refused | Outcome::Lost => {
                self.handle(net, now, Event::MapWriteFailed, None);
                if let Some((stored, _)) = net.read_all() {
                    self.accept(net, now, stored);
                }
            }
        }
    }

    fn compare_map(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some(leader) = &self.leader else { return };
        let newer = self.map.clone().filter(|seen| seen.version > leader.map_version);
        if newer.is_some() {
            self.accept(net, now, newer);
        } else if net.broken == Broken::EchoAsDrift {
            let mut echo = leader.coordinator.published().clone();
            echo.map.epoch = echo.map.epoch.next();
            self.handle(net, now, Event::Map(Some(echo)), None);
        }
    }

    fn accept(&mut self, net: &mut Net<'_>, now: Duration, read: Option<Stored>) {
        let Some(leader) = &mut self.leader else { return };
        if let Some(read) = read.as_ref().filter(|read| read.claimant == self.me && read.map.term == leader.term) {
            leader.map_version = read.version;
        }
        self.handle(net, now, Event::Map(read.as_ref().map(published)), None);
    }

    fn members(&self) -> BTreeMap<ReplicaName, MemberLease> {
        self.leases.keys().filter(|name| *name != COORDINATOR).map(|name| self.member(name)).collect()
    }

    fn member(&self, name: &str) -> (ReplicaName, MemberLease) {
        let seen = &self.leases[name];
        let parts: Vec<&str> = seen.lease.holder.split('_').collect();
        let holder = match parts[..] {
            [""] => Holder::Nobody,
            [replica, uid, nonce] if replica == name => Holder::Process(Incarnation::new(replica, uid, nonce)),
            _ => Holder::Taken,
        };
        let resource_version = seen.lease.version.to_string();
        let (changed, held_since) = (seen.changed, seen.held_since);
        (ReplicaName::new(name), MemberLease { holder, resource_version, changed, held_since, heard: None })
    }

    /// The target as this replica's watch shows it.
    fn object(&self, number: usize) -> TargetObject {
        let key = target(number);
        let desired = DesiredTarget {
            key: key.clone(),
            cluster_name: format!("c{number}").into(),
            labels: BTreeMap::new(),
            secret_name: "kubeconfig".to_owned(),
            secret_key: None,
            access: None,
            paused: false,
            paused_until: None,
            generation: 1,
        };
        let status = self.statuses[number].status.clone().map(|status| CachedStatus::new(&key, status));
        let slot_label = Some(Slot::of(&key).to_string());
        TargetObject { key, desired: Ok(desired), generation: 1, slot_label, status }
    }

    /// A message arrives over a link to this very term.
    pub fn hear(&mut self, net: &mut Net<'_>, message: ToCoordinator, now: Duration) {
        if self.leader.as_ref().is_none_or(|leader| leader.term != message.term) {
            return;
        }
        let ToCoordinator { from, mut message, .. } = message;
        let mut sender = Arc::new(from.clone());
        let mut reported = None;
        if let FromWorker::Report { report, .. } = &mut message {
            reported = Some(report.target.clone());
            if let (Broken::AnySender, Some(leader)) = (net.broken, &self.leader) {
                let map = &leader.coordinator.published().map;
                sender = map.owner(Slot::of(&report.target)).cloned().map_or(sender, Arc::new);
                report.epoch = map.epoch;
            }
        }
        let event = Event::Message(Message { sender, message, bytes: 100 });
        self.handle(net, now, event, reported.as_ref().map(|target| (&from, target)));
    }

    /// Writes the statuses that wait. One that gets no answer is tried again; one that is refused is decided anew when
    /// the watch shows the present status.
    fn write_statuses(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some(leader) = &mut self.leader else { return };
        for (number, write) in std::mem::take(&mut leader.writes) {
            let over = self.statuses[number].version;
            let outcome = match self.may_write(now) {
                true => self.write(net, now, Write::Status(number, Box::new(write.clone()), over)),
                false => Outcome::Lost,
            };
            if let (Outcome::Lost, Some(leader)) = (outcome, &mut self.leader) {
                leader.writes.entry(number).or_insert(write);
            }
        }
    }
}

impl Leader {
    fn enqueue(&mut self, write: TargetWrite, sender: Option<Incarnation>) {
        let number = number_of(&write.key);
        let status: TargetStatus = write.status;
        let Epoch(epoch) = self.coordinator.published().map.epoch;
        // A report that is written again was accepted when it was written first.
        let (reported_by, report_epoch) = (status.reported_by.clone(), status.report_epoch);
        let former = self.origins.get(&number).filter(|former| (&former.0, &former.1) == (&reported_by, &report_epoch));
        let known_epoch = former.map_or(epoch, |former| former.2);
        self.origins.insert(number, (reported_by, report_epoch, known_epoch));
        self.writes.insert(number, StatusWrite { status, sender, known_epoch });
    }
}

fn published(stored: &Stored) -> PublishedMap {
    PublishedMap { map: stored.map.clone(), coordinator: stored.claimant.clone(), contact: None }
}
