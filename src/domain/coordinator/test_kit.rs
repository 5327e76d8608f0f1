//! A coordinator that owns a small fleet, for tests of its modules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::effect::{Effect, TargetWrite};
use super::event::{CachedStatus, Message, ObjectEvent, TargetObject};
use super::fleet::Fleet;
use super::summaries::SUMMARY_GAP;
use super::{IntegrationObject, Now};
use crate::domain::aggregate::Selection;
use crate::domain::desired::{DesiredIntegration, DesiredTarget};
use crate::domain::evaluate::WhenAbsent;
use crate::domain::expected::Expected;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::replica::{Epoch, Incarnation, ReplicaName, Term};
use crate::domain::report::{FromWorker, TargetReport, ToWorker};
use crate::domain::roll_up::MaxUnhealthy;
use crate::domain::shard_map::ShardMap;
use crate::domain::shards::Shards;
use crate::domain::slot::Slot;
use crate::domain::status::TargetStatus;
use crate::domain::verdict::{Phase, Reach, TargetVerdict, ToolVerdict};

pub(super) const ROUND: Duration = Duration::from_secs(30);
pub(super) const INSTALLATION: &str = "ksit-system/ksit";

/// A fleet without targets, in the first term.
pub(super) fn empty_fleet() -> Fleet {
    let now = Now { clock: Duration::from_secs(1_000), wall: Timestamp::UNIX_EPOCH, writes_since: None };
    Fleet::new(Term(1), INSTALLATION.to_owned(), ROUND, now)
}

/// The target `fleet/c1`, which is Running.
pub(super) fn fleet() -> Fleet {
    let mut fleet = empty_fleet();
    fleet.on_target(applied(target("c1", Some(status_of(Phase::Running)))));
    fleet
}

pub(super) fn status_of(phase: Phase) -> TargetStatus {
    TargetStatus {
        phase: Some(phase),
        term: Some(Term(1)),
        managed_by: Some(INSTALLATION.to_owned()),
        ..TargetStatus::default()
    }
}

/// A target with its slot label.
pub(super) fn target(name: &str, status: Option<TargetStatus>) -> TargetObject {
    let key = TargetKey::new("fleet", name);
    let desired = DesiredTarget {
        key: key.clone(),
        cluster_name: name.into(),
        labels: BTreeMap::new(),
        secret_name: format!("{name}-kubeconfig"),
        secret_key: None,
        access: None,
        paused: false,
        paused_until: None,
        generation: 1,
    };
    let slot_label = Some(Slot::of(&key).to_string());
    let status = status.map(|status| CachedStatus::new(&key, status));
    TargetObject { key, desired: Ok(desired), generation: 1, slot_label, status }
}

pub(super) fn applied<K, O>(object: O) -> ObjectEvent<K, O> {
    ObjectEvent::Applied(Box::new(object))
}

/// An Integration of the given clusters.
pub(super) fn integration(name: &str, clusters: &[String]) -> IntegrationObject {
    let selection = Selection { cluster_names: clusters.iter().cloned().collect(), selector: None };
    let desired = DesiredIntegration {
        key: IntegrationKey::new("fleet", name),
        type_name: "argocd".to_owned(),
        enabled: true,
        selection,
        expected: Ok(Expected::default()),
        when_absent: WhenAbsent::Failed,
        max_unhealthy: MaxUnhealthy::default(),
        interval: None,
        wants_install: false,
        generation: 1,
    };
    IntegrationObject { desired, has_legacy_finalizer: false, status: None }
}

pub(super) fn key() -> TargetKey {
    TargetKey::new("fleet", "c1")
}

/// A report on `fleet/c1`.
pub(super) fn report(tools: Vec<(IntegrationKey, ToolVerdict)>) -> TargetReport {
    TargetReport {
        generation: 1,
        secret_version: Some("7".to_owned()),
        server: Some("10.0.0.1:6443".to_owned()),
        reported_by: ReplicaName::new("ksit-0"),
        epoch: Epoch(1),
        ..TargetReport::new(key(), Arc::new(TargetVerdict { reach: Reach::Connected, tools }))
    }
}

pub(super) fn worker(name: &str) -> Arc<Incarnation> {
    Arc::new(Incarnation::new(name, "uid", "nonce"))
}

/// `owner` owns every slot; the others are members.
pub(super) fn map(epoch: i64, owner: &Incarnation, others: &[&Incarnation]) -> ShardMap {
    let members = others.iter().copied().chain([owner]).map(|process| (process.name.clone(), process.clone()));
    let rest = others.iter().map(|process| (process.name.clone(), "".parse().unwrap()));
    ShardMap {
        term: Term(1),
        epoch: Epoch(epoch),
        members: members.collect(),
        shards: Shards::new(rest.chain([(owner.name.clone(), "000-3ff".parse().unwrap())])),
    }
}

impl Fleet {
    pub(super) fn advance(&mut self, time: Duration) {
        self.now.clock += time;
        self.now.wall += time;
    }

    pub(super) fn phase_of(&self, key: &TargetKey) -> Option<Phase> {
        self.targets[key].status().and_then(|status| status.phase)
    }

    /// Sends a message of `sender` and returns the answers to it.
    pub(super) fn receive(&mut self, sender: &Arc<Incarnation>, message: FromWorker) -> Vec<ToWorker> {
        self.effects.retain(|effect| !matches!(effect, Effect::Send { .. }));
        self.on_message(Message { sender: sender.clone(), message, bytes: 0 });
        self.sent_to(sender)
    }

    pub(super) fn sent_to(&mut self, worker: &Arc<Incarnation>) -> Vec<ToWorker> {
        let sent = self.effects.extract_if(.., |effect| matches!(effect, Effect::Send { to, .. } if to == worker));
        sent.filter_map(|effect| if let Effect::Send { message, .. } = effect { Some(message) } else { None }).collect()
    }

    /// The writes of targets' statuses since the last call.
    pub(super) fn writes(&mut self) -> Vec<TargetWrite> {
        let write = |effect| if let Effect::WriteTarget(write) = effect { Some(*write) } else { None };
        std::mem::take(&mut self.effects).into_iter().filter_map(write).collect()
    }

    /// Sums up every Integration that is marked.
    pub(super) fn summarize_all(&mut self) {
        while let Some(due) = self.next_due() {
            self.now.clock = self.now.clock.max(due).max(self.now.clock + SUMMARY_GAP / 100);
            self.summarize_due();
        }
    }
}
