//! Notifiers: the faults of the fleet in, writes of their statuses and requests to their receivers out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::{Effect, NotifyTask};
use super::event::{NotifierObject, NotifyAnswer, ObjectEvent};
use super::fleet::Fleet;
use super::integrations::Integration;
use super::target::Target;
use super::windows::Windows;
use crate::domain::desired::DesiredTarget;
use crate::domain::keys::{IntegrationKey, NotifierKey, TargetKey};
use crate::domain::maintenance::Active;
use crate::domain::notify::{Fact, Notifications, Now, Record, Spec, Standing, Tool};
use crate::domain::status::{REACHABLE, TargetStatus};
use crate::domain::verdict::Phase;

/// Pause after a status that could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Notifier {
    /// The spec, or why it can't be used.
    desired: Result<Spec, String>,
    generation: i64,
    managed_by: Option<String>,
    accepted: Standing,
    state: Notifications,
    /// The status on the hub.
    written: Option<Record>,
    /// The status that is being written, before the request that goes with it.
    under_way: Option<Record>,
    write_not_before: Duration,
}

impl Notifier {
    fn new(object: NotifierObject, former: Option<Self>, now: Now) -> Self {
        let NotifierObject { key: _, generation, desired, record, managed_by } = object;
        let (mut state, accepted, written, under_way) = match former {
            Some(former) => {
                let Self { state, accepted, written, under_way, .. } = former;
                (state, Some(accepted), written, under_way)
            }
            None => {
                let accepted = record.as_ref().and_then(|record| record.accepted.clone());
                (record.clone().map(Notifications::restored).unwrap_or_default(), accepted, record, None)
            }
        };
        let accepted = match &desired {
            Ok(_) => Standing::after(accepted.as_ref(), true, "Accepted", "the spec is valid".to_owned(), now.wall),
            Err(error) => Standing::after(accepted.as_ref(), false, "InvalidSpec", error.clone(), now.wall),
        };
        state.on_change(false);
        Self { desired, generation, managed_by, accepted, state, written, under_way, write_not_before: Duration::ZERO }
    }

    /// The next write and request, if there is one and none is under way.
    fn next(&mut self, key: &NotifierKey, now: Now) -> Option<NotifyTask> {
        if self.under_way.is_some() {
            return None;
        }
        let spec = self.desired.as_ref().ok();
        let request = spec.and_then(|spec| Some((spec.receiver.clone(), self.state.next(spec, now)?)));
        let record = self.state.record(self.generation, self.accepted.clone());
        let is_new = self.written.as_ref() != Some(&record);
        if request.is_none() && (!is_new || now.clock < self.write_not_before) {
            return None;
        }
        self.under_way = Some(record.clone());
        Some(NotifyTask { key: key.clone(), record: is_new.then_some(record), request })
    }

    fn on_answer(&mut self, answer: NotifyAnswer, now: Now) {
        let record = self.under_way.take();
        match answer {
            NotifyAnswer::Unwritten => {
                self.write_not_before = now.clock + WRITE_AGAIN;
                self.state.on_unsent(now);
            }
            NotifyAnswer::Written => self.written = record,
            NotifyAnswer::Sent(answer) => {
                self.written = record;
                if let Ok(spec) = &self.desired {
                    self.state.on_answer(spec, answer, now);
                }
            }
        }
    }
}

/// A target that is not healthy.
struct Unhealthy<'a> {
    target: &'a DesiredTarget,
    status: &'a TargetStatus,
    tools: Vec<Tool<'a>>,
    windows: Vec<Active<'a>>,
}

impl<'a> Unhealthy<'a> {
    /// The faults of its tools, or the one fault of a cluster that can't be read.
    fn facts(&'a self) -> Vec<Fact<'a>> {
        let fact = |tool: Option<Tool<'a>>, phase, reason, since| {
            Some(Fact {
                tool,
                tools: &self.tools,
                cluster: &self.target.cluster_name,
                labels: &self.target.labels,
                phase,
                reason: reason?,
                since: since?,
                silenced: self.is_silenced(tool),
            })
        };
        let reachable = self.status.condition(REACHABLE);
        let since = reachable.map(|reachable| reachable.since);
        if let Some(cause) = self.status.unreachable_cause() {
            return fact(None, Phase::Failed, Some(cause), since).into_iter().collect();
        }
        if self.status.phase == Some(Phase::Unknown) {
            return fact(None, Phase::Unknown, reachable.and_then(|reachable| reachable.reason), since)
                .into_iter()
                .collect();
        }
        let tools = self.status.tools.iter().filter_map(|tool| {
            let phase = tool.phase.filter(|phase| phase.is_bad() || *phase == Phase::Degraded)?;
            fact(Some(Tool { name: &tool.name, type_name: &tool.type_name }), phase, tool.reason, tool.since)
        });
        tools.collect()
    }

    fn is_silenced(&self, tool: Option<Tool<'_>>) -> bool {
        let covers = |name: &str| self.windows.iter().any(|window| window.covers(name));
        match tool {
            Some(tool) => covers(tool.name),
            None => {
                let is_whole = self.windows.iter().any(|active| active.window.integrations.is_empty());
                is_whole || !self.tools.is_empty() && self.tools.iter().all(|tool| covers(tool.name))
            }
        }
    }
}

fn unhealthy<'a>(
    targets: &'a BTreeMap<TargetKey, Target>,
    integrations: &'a BTreeMap<IntegrationKey, Integration>,
    windows: &'a Windows,
    namespace: &'a str,
) -> Vec<Unhealthy<'a>> {
    let is_bad = |phase: Phase| phase.is_bad() || phase == Phase::Degraded;
    let here = targets.range(TargetKey::new(namespace, "")..).take_while(|(key, _)| key.namespace() == namespace);
    let found = here.filter_map(|(_, target)| {
        let status = target.status().filter(|status| status.phase.is_some_and(is_bad))?;
        let desired = target.desired.as_ref().ok()?;
        let here = integrations.range(IntegrationKey::new(namespace, "")..).map(|(_, known)| known);
        let here = here.take_while(|known| known.desired.key.namespace() == namespace);
        let concerned = here.filter(|known| known.desired.concerns(desired));
        let tool =
            |known: &'a Integration| Tool { name: known.desired.key.name(), type_name: &known.desired.type_name };
        let tools = concerned.map(tool).collect();
        Some(Unhealthy { target: desired, status, tools, windows: windows.covering(desired).collect() })
    });
    found.collect()
}

impl Fleet {
    fn notify_now(&self) -> Now {
        Now { clock: self.now.clock, wall: self.now.wall }
    }

    pub(super) fn on_notifier(&mut self, event: ObjectEvent<NotifierKey, NotifierObject>) {
        match event {
            ObjectEvent::Applied(object) => {
                let key = object.key.clone();
                let former = self.notifiers.remove(&key);
                let is_other = former.as_ref().is_some_and(|former| match (&former.desired, &object.desired) {
                    (Ok(former), Ok(now)) => former.receiver != now.receiver,
                    _ => false,
                });
                let is_same = former.as_ref().is_some_and(|former| former.desired == object.desired);
                let mut notifier = match former {
                    // Its status was written.
                    Some(former) if is_same => Notifier { managed_by: object.managed_by, ..former },
                    former => Notifier::new(*object, former, self.notify_now()),
                };
                if is_other {
                    notifier.state.on_change(true);
                }
                self.notifiers.insert(key, notifier);
            }
            ObjectEvent::Deleted(key) => drop(self.notifiers.remove(&key)),
            ObjectEvent::Listed(keys) => self.notifiers.retain(|key, _| keys.contains(key)),
        }
    }

    /// A write, and the request with it, have ended.
    pub(super) fn on_notified(&mut self, key: &NotifierKey, answer: NotifyAnswer) {
        let now = self.notify_now();
        if let Some(notifier) = self.notifiers.get_mut(key) {
            notifier.on_answer(answer, now);
        }
        self.drive(key);
    }

    /// Has every Notifier look at the faults of its namespace.
    pub(super) fn notify(&mut self) {
        // A window that is not known yet may cover them.
        if !self.windows.is_listed {
            return;
        }
        let now = self.notify_now();
        let mut keys: Vec<NotifierKey> = self.notifiers.keys().cloned().collect();
        while let Some(namespace) = keys.first().map(|key| key.namespace().to_owned()) {
            let targets = unhealthy(&self.targets, &self.integrations, &self.windows, &namespace);
            let facts: Vec<Fact<'_>> = targets.iter().flat_map(Unhealthy::facts).collect();
            for (_, notifier) in self.notifiers.iter_mut().filter(|(key, _)| key.namespace() == namespace) {
                if let Ok(spec) = &notifier.desired {
                    notifier.state.observe(spec, &facts, now);
                }
            }
            let (here, others) = keys.into_iter().partition(|key| key.namespace() == namespace);
            keys = others;
            let here: Vec<NotifierKey> = here;
            here.iter().for_each(|key| self.drive(key));
        }
    }

    fn drive(&mut self, key: &NotifierKey) {
        let managed_by = self.notifiers.get(key).and_then(|notifier| notifier.managed_by.clone());
        if self.is_left_alone(managed_by.as_deref()) {
            return;
        }
        let now = self.notify_now();
        let task = self.notifiers.get_mut(key).and_then(|notifier| notifier.next(key, now));
        self.effects.extend(task.map(|task| Effect::Notify(Box::new(task))));
    }
}

#[cfg(test)]
#[path = "notifiers_tests.rs"]
mod tests;
