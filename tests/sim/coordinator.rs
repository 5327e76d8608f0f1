//! The coordinator of one reign: claim, members, map, reports, statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use ksit::domain::assignment::{Facts, assign};
use ksit::domain::claim::next_term;
use ksit::domain::member::{Holder, MemberLease, Observer};
use ksit::domain::membership::{Command, Membership};
use ksit::domain::ownership::{Ownership, Stamp};
use ksit::domain::replica::{Epoch, Incarnation, ReplicaName, Term};
use ksit::domain::shard_map::ShardMap;

use super::hub::{Lease, Status, Stored, Write};
use super::replica::Replica;
use super::world::{Broken, COORDINATOR, Net, Outcome, REQUEST, Report, TIMING, target, weights};

pub struct Reign {
    stored: Stored,
    since: Duration,
    changed: Option<Duration>,
    ownership: Ownership,
    heard: BTreeMap<Incarnation, Duration>,
    /// Accepted reports: reporter, epoch, newest map known then, verdict.
    accepted: BTreeMap<usize, (Incarnation, i64, i64, u32)>,
}

impl Replica {
    fn may_write(&self, now: Duration) -> bool {
        self.leading.is_some_and(|leading| leading.claim.covers(now, REQUEST))
    }

    pub fn coordinate(&mut self, net: &mut Net<'_>, now: Duration) {
        if self.leading.is_none_or(|leading| !leading.claim.valid_at(now)) {
            self.reign = None;
        } else if self.reign.is_none() {
            self.claim(net, now);
        }
        if self.reign.is_some() {
            self.reign(net, now);
        }
    }

    fn claim(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some((over, statuses)) = net.read_all() else { return };
        let last = over.as_ref().map(|stored| stored.map.clone()).unwrap_or_default();
        let term = next_term(Some(last.term), statuses.iter().map(|status| Term(status.term)));
        self.statuses = statuses;
        if !self.may_write(now) {
            return;
        }
        let map = ShardMap { term, epoch: last.epoch.next(), ..last };
        let version = over.map_or(0, |stored| stored.version);
        let outcome = self.write(net, now, Write::Map(map, self.me.clone(), version));
        if let (Outcome::Done(_), Some(stored)) = (outcome, self.map.clone()) {
            let mut ownership = Ownership::default();
            ownership.learn(&stored.map);
            let (heard, accepted) = (BTreeMap::new(), BTreeMap::new());
            self.reign = Some(Reign { stored, since: now, changed: None, ownership, heard, accepted });
        }
    }

    fn reign(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some(reign) = &self.reign else { return };
        let newest = self.map.as_ref().filter(|seen| seen.version > reign.stored.version);
        if newest.is_some_and(|seen| seen.claimant != self.me || seen.map.term != reign.stored.map.term) {
            self.reign = None;
            return;
        }
        self.keep_members(net, now);
        self.write_statuses(net, now);
    }

    fn keep_members(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some(reign) = &self.reign else { return };
        let leases: BTreeMap<ReplicaName, MemberLease> =
            self.leases.keys().filter(|name| *name != COORDINATOR).map(|name| self.member(name, reign)).collect();
        let last = reign.stored.map.members.clone();
        let writes_since = match net.broken {
            Broken::SilenceInOutage => Some(Duration::ZERO),
            _ => self.writes_since(now),
        };
        let observer = Observer { timing: TIMING, writes_since, term_since: reign.since };
        let me = self.me.name.clone();
        let wanted = Some(net.wanted);
        let membership = Membership { me: &me, observer, leases: &leases, last: &last, wanted, changed: reign.changed };
        let decision = membership.decide(now);
        for command in decision.commands {
            match command {
                Command::StepDown => return (self.leading, self.reign) = (None, None),
                Command::TakeLease { name, resource_version } if self.may_write(now) => {
                    let lease = Lease { holder: self.me.to_string(), ..Lease::default() };
                    self.write(net, now, Write::Lease(name.to_string(), lease, resource_version.parse().ok()));
                }
                Command::TakeLease { .. } => {}
            }
        }
        let Some(members) = decision.members.filter(|members| *members != last) else { return };
        let Some(reign) = &self.reign else { return };
        let names = members.keys().cloned().collect();
        let weights = weights(self.statuses.len());
        let map = &reign.stored.map;
        let facts = Facts { members: &names, weights: &weights, last: &map.shards, moved_for_weight: Some(now) };
        let Some(next) = map.next(map.term, members, assign(&facts, now).shards) else { return };
        let version = reign.stored.version;
        if !self.may_write(now) {
            return;
        }
        let outcome = self.write(net, now, Write::Map(next, self.me.clone(), version));
        let read = match outcome {
            Outcome::Done(_) => self.map.clone(),
            // Looked at again: it may have been done all the same.
            _ => net.read_all().and_then(|(stored, _)| stored),
        };
        if let (Some(stored), Some(reign)) = (read, &mut self.reign) {
            if stored.claimant != self.me || stored.map.term != reign.stored.map.term {
                self.reign = None;
            } else if stored.version > reign.stored.version {
                reign.ownership.learn(&stored.map);
                (reign.stored, reign.changed) = (stored, Some(now));
            }
        }
    }

    fn member(&self, name: &str, reign: &Reign) -> (ReplicaName, MemberLease) {
        let seen = &self.leases[name];
        let parts: Vec<&str> = seen.lease.holder.split('_').collect();
        let holder = match parts[..] {
            [""] => Holder::Nobody,
            [replica, uid, nonce] if replica == name => Holder::Process(Incarnation::new(replica, uid, nonce)),
            _ => Holder::Taken,
        };
        let heard = match &holder {
            Holder::Process(process) => reign.heard.get(process).copied(),
            _ => None,
        };
        let resource_version = seen.lease.version.to_string();
        let (changed, held_since) = (seen.changed, seen.held_since);
        (ReplicaName::new(name), MemberLease { holder, resource_version, changed, held_since, heard })
    }

    /// A report arrives, over a link to this very reign.
    pub fn hear(&mut self, report: &Report, now: Duration) {
        let Some(reign) = self.reign.as_mut().filter(|reign| reign.stored.map.term == report.term) else { return };
        reign.heard.insert(report.from.clone(), now);
        let Epoch(known) = reign.stored.map.epoch;
        for (number, verdict) in &report.verdicts {
            let stamp = Stamp {
                sender: &report.from,
                target: &target(*number),
                epoch: report.epoch,
                sequence: report.sequence,
            };
            if reign.ownership.accept(&stamp).is_ok() {
                reign.accepted.insert(*number, (report.from.clone(), report.epoch.0, known, *verdict));
            }
        }
    }

    /// Brings the hub to what was reported, where it says otherwise.
    fn write_statuses(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some(reign) = &self.reign else { return };
        let term = reign.stored.map.term.0;
        let differs = |number: &usize, verdict: u32| {
            let status = &self.statuses[*number];
            status.verdict != verdict || status.term > term
        };
        let wanted: Vec<(usize, Status, u64)> = reign
            .accepted
            .iter()
            .filter(|(number, (.., verdict))| differs(number, *verdict))
            .map(|(number, (reporter, epoch, accepted, verdict))| {
                let status = Status {
                    term,
                    verdict: *verdict,
                    reported_by: Some(reporter.clone()),
                    epoch: *epoch,
                    accepted: *accepted,
                    version: 0,
                };
                (*number, status, self.statuses[*number].version)
            })
            .collect();
        for (number, status, over) in wanted {
            if self.may_write(now) {
                self.write(net, now, Write::Status(number, status, over));
            }
        }
    }
}
