//! Watches the targets' statuses on the hub and times how long after a change to a target its status shows it.
//! Simulator and watch run in one process and share one clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, Object};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher::Config};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use testkit::resources::resource;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{NAMESPACE, RunError};

pub const RUNNING: &str = "Running";
pub const FAILED: &str = "Failed";

/// The parts of a target's status that are read.
#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
}

impl Status {
    /// Why the target is not reachable or, if it is, why it is not watched.
    fn failure_reason(&self) -> Option<String> {
        let is_false = |kind: &str| self.conditions.iter().find(|found| found.kind == kind && found.status == "False");
        let Condition { reason, message, .. } = ["Reachable", "Watched"].into_iter().find_map(is_false)?;
        // For a target that failed in several rounds the cause is at the end of the message.
        let cause = message.strip_suffix(')').and_then(|message| message.rsplit_once('(')).map(|(_, cause)| cause);
        let cause = cause.filter(|cause| cause.bytes().all(|byte| byte.is_ascii_alphabetic()));
        Some(cause.map_or_else(|| reason.clone(), |cause| format!("{reason} ({cause})")))
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Unread {}

type Target = Object<Unread, Status>;

/// Kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// A component of a target broke or was repaired.
    Change,
    /// A fault of the target itself began or ended.
    Fault,
}

struct Pending {
    phase: &'static str,
    since: Instant,
    group: Group,
    /// The previous change was not seen in time: the status may never have left the phase, so this one is not awaited.
    is_moot: bool,
}

/// Results since the last [`Statuses::take`].
#[derive(Debug, Default)]
pub struct Detections {
    /// Seconds until the status showed the change.
    pub took: BTreeMap<Group, Vec<f64>>,
    /// Targets that left Running although nothing was done to them.
    pub unprovoked: u32,
    /// Changes superseded by the next one before the status showed them.
    pub superseded: BTreeMap<Group, u32>,
}

#[derive(Default)]
struct State {
    current: HashMap<u32, Status>,
    pending: HashMap<u32, Pending>,
    detections: Detections,
}

/// Watches until dropped.
pub struct Statuses {
    state: Arc<Mutex<State>>,
    _watch: JoinSet<()>,
}

impl Statuses {
    pub fn watch(client: Client) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(client, state.clone()));
        Self { state, _watch: tasks }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Records a change to a target, made now, after which its status is expected to have `phase`.
    pub fn expect(&self, number: u32, phase: &'static str, group: Group) {
        let mut state = self.state();
        let is_there = state.current.get(&number).is_some_and(|now| now.phase == phase);
        let former = state.pending.remove(&number).filter(|former| !former.is_moot);
        if let Some(former) = &former {
            *state.detections.superseded.entry(former.group).or_default() += 1;
        }
        let is_moot = former.is_some() && is_there;
        state.pending.insert(number, Pending { phase, since: Instant::now(), group, is_moot });
    }

    /// Drops the expectation for a target, such as a removed one.
    pub fn forget(&self, number: u32) {
        self.state().pending.remove(&number);
    }

    pub fn is(&self, number: u32, phase: &str) -> bool {
        self.state().current.get(&number).is_some_and(|now| now.phase == phase)
    }

    /// The reason, with the cause if there is one, that the status reports for a target not reached or not watched.
    pub fn failure_reason(&self, number: u32) -> Option<String> {
        self.state().current.get(&number)?.failure_reason()
    }

    pub fn pending(&self) -> usize {
        self.state().pending.values().filter(|pending| !pending.is_moot).count()
    }

    /// Number of targets by phase.
    pub fn phases(&self) -> BTreeMap<String, u32> {
        let mut phases = BTreeMap::new();
        self.state().current.values().for_each(|status| *phases.entry(status.phase.clone()).or_default() += 1);
        phases
    }

    /// Waits until nothing is pending, `failed` targets are Failed and all others Running.
    pub async fn until_right(&self, targets: u32, failed: u32, patience: Duration) -> Result<(), RunError> {
        let start = Instant::now();
        let mut reported = start;
        loop {
            let (phases, pending) = (self.phases(), self.pending());
            let count = |phase: &str| phases.get(phase).copied().unwrap_or_default();
            if (pending, count(FAILED), count(RUNNING)) == (0, failed, targets - failed) {
                return Ok(());
            }
            if start.elapsed() > patience {
                let waited = patience.as_secs();
                return Err(format!("after {waited} s {pending} changes were not seen; phases: {phases:?}").into());
            }
            if reported.elapsed() > Duration::from_secs(10) {
                reported = Instant::now();
                eprintln!("  … {pending} changes not seen yet; phases: {phases:?}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Results since the last call, and the number of pending changes.
    pub fn take(&self) -> (Detections, BTreeMap<Group, u32>) {
        let mut state = self.state();
        let mut waiting = BTreeMap::new();
        let awaited = state.pending.values().filter(|pending| !pending.is_moot);
        awaited.for_each(|pending| *waiting.entry(pending.group).or_default() += 1);
        (std::mem::take(&mut state.detections), waiting)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(client: Client, state: Arc<Mutex<State>>) {
    let api: Api<Target> = Api::namespaced_with(client, NAMESPACE, &resource("IntegrationTarget"));
    let mut events = watcher::watcher(api, Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(target) | Event::InitApply(target)) => lock(&state).apply(&target),
            Ok(Event::Delete(target)) => lock(&state).remove(&target),
            // The watcher restarts by itself.
            Ok(Event::Init | Event::InitDone) | Err(_) => {}
        }
    }
}

impl State {
    fn apply(&mut self, target: &Target) {
        let Some(number) = number(&target.name_any()) else { return };
        let status = target.status.clone().unwrap_or_default();
        let phase = status.phase.clone();
        let before = self.current.insert(number, status).map(|before| before.phase);
        if before.as_ref() == Some(&phase) {
            return;
        }
        match self.pending.get(&number) {
            Some(pending) if pending.phase == phase && pending.is_moot => {
                self.pending.remove(&number);
            }
            Some(pending) if pending.phase == phase => {
                let (took, group) = (pending.since.elapsed().as_secs_f64(), pending.group);
                self.detections.took.entry(group).or_default().push(took);
                self.pending.remove(&number);
            }
            None if before.as_deref() == Some(RUNNING) => self.detections.unprovoked += 1,
            _ => {}
        }
    }

    fn remove(&mut self, target: &Target) {
        if let Some(number) = number(&target.name_any()) {
            self.current.remove(&number);
            self.pending.remove(&number);
        }
    }
}

/// Parses the number of a target from its name.
fn number(name: &str) -> Option<u32> {
    name.strip_prefix('c')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses() -> Statuses {
        Statuses { state: Arc::default(), _watch: JoinSet::new() }
    }

    fn apply(statuses: &Statuses, number: u32, status: Status) {
        let mut target = Target::new(&format!("c{number:05}"), &resource("IntegrationTarget"), Unread {});
        target.status = Some(status);
        statuses.state().apply(&target);
    }

    fn set_phase(statuses: &Statuses, number: u32, phase: &str) {
        apply(statuses, number, Status { phase: phase.to_owned(), ..Status::default() });
    }

    #[test]
    fn expected_change_is_timed_and_unprovoked_one_counted() {
        let statuses = statuses();
        set_phase(&statuses, 1, RUNNING);
        set_phase(&statuses, 2, RUNNING);
        statuses.expect(1, FAILED, Group::Change);
        set_phase(&statuses, 1, FAILED);
        set_phase(&statuses, 2, FAILED);
        let (detections, waiting) = statuses.take();
        assert_eq!((detections.took[&Group::Change].len(), detections.unprovoked), (1, 1));
        assert!(waiting.is_empty() && detections.superseded.is_empty());
    }

    #[test]
    fn failure_reason_is_unreachable_before_unwatched() {
        let statuses = statuses();
        let reason = |conditions: &[[&str; 4]]| {
            let texts = conditions.iter().map(|texts| texts.map(str::to_owned));
            let conditions = texts.map(|[kind, status, reason, message]| Condition { kind, status, reason, message });
            apply(&statuses, 1, Status { conditions: conditions.collect(), ..Status::default() });
            statuses.failure_reason(1)
        };
        let broken = ["Watched", "False", "WatchBroken", "a proxy may cut them (buffering, time-outs)"];
        assert_eq!(reason(&[broken]).as_deref(), Some("WatchBroken"));
        let lost = ["Reachable", "False", "Unreachable", "unreachable: c1:6443 said nothing (TimedOut)"];
        assert_eq!(reason(&[broken, lost]).as_deref(), Some("Unreachable (TimedOut)"));
        assert_eq!(reason(&[["Watched", "True", "Watching", ""], ["Reachable", "True", "Connected", ""]]), None);
    }

    #[test]
    fn repair_of_unseen_break_is_not_awaited() {
        let statuses = statuses();
        set_phase(&statuses, 1, RUNNING);
        statuses.expect(1, FAILED, Group::Change);
        statuses.expect(1, RUNNING, Group::Change);
        assert_eq!(statuses.pending(), 0);
        set_phase(&statuses, 1, FAILED);
        set_phase(&statuses, 1, RUNNING);
        statuses.expect(1, FAILED, Group::Change);
        let (detections, waiting) = statuses.take();
        let superseded = detections.superseded[&Group::Change];
        assert_eq!((superseded, detections.unprovoked, waiting[&Group::Change]), (1, 0, 1));
        assert!(detections.took.is_empty());
    }
}
