//! What the hub says of each target, watched as it changes; and how long after something was done to a target it says
//! so. Simulator and watch are in one process: one clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, Object};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher::Config};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{NAMESPACE, RunError};
use crate::resources::resource;

pub const RUNNING: &str = "Running";
pub const FAILED: &str = "Failed";

/// What is read of a target.
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
    /// Why the target can't be reached; why it can't be watched, if it can be reached.
    fn complaint(&self) -> Option<String> {
        let is_false = |kind: &str| self.conditions.iter().find(|said| said.kind == kind && said.status == "False");
        let Condition { reason, message, .. } = ["Reachable", "Watched"].into_iter().find_map(is_false)?;
        // Of a target that failed round after round the cause stands at the end of the message.
        let cause = message.strip_suffix(')').and_then(|message| message.rsplit_once('(')).map(|(_, cause)| cause);
        let cause = cause.filter(|cause| cause.bytes().all(|byte| byte.is_ascii_alphabetic()));
        Some(cause.map_or_else(|| reason.clone(), |cause| format!("{reason} ({cause})")))
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Unread {}

type Target = Object<Unread, Status>;

/// Of which targets a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// A component of a target broke or was mended.
    Change,
    /// The target itself got a fault or lost it.
    Fault,
}

struct Pending {
    phase: &'static str,
    since: Instant,
    group: Group,
    /// The change before was not seen in time: the status may never have left the phase, so nobody waits.
    is_moot: bool,
}

/// What happened since the last [`Statuses::take`].
#[derive(Debug, Default)]
pub struct Seen {
    /// Seconds until the status said so.
    pub took: BTreeMap<Group, Vec<f64>>,
    /// Targets that left Running although nothing was done to them.
    pub unmade: u32,
    /// Changes that were overtaken by the next one before the status said so.
    pub overtaken: BTreeMap<Group, u32>,
}

#[derive(Default)]
struct State {
    said: HashMap<u32, Status>,
    pending: HashMap<u32, Pending>,
    seen: Seen,
}

/// Watches until it is dropped.
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

    /// Something is done to a target now, after which its status shall have that phase.
    pub fn expect(&self, number: u32, phase: &'static str, group: Group) {
        let mut state = self.state();
        let is_there = state.said.get(&number).is_some_and(|now| now.phase == phase);
        let former = state.pending.remove(&number).filter(|former| !former.is_moot);
        if let Some(former) = &former {
            *state.seen.overtaken.entry(former.group).or_default() += 1;
        }
        let is_moot = former.is_some() && is_there;
        state.pending.insert(number, Pending { phase, since: Instant::now(), group, is_moot });
    }

    /// Nothing more is expected of a target, such as one that is removed.
    pub fn forget(&self, number: u32) {
        self.state().pending.remove(&number);
    }

    pub fn is(&self, number: u32, phase: &str) -> bool {
        self.state().said.get(&number).is_some_and(|now| now.phase == phase)
    }

    /// Why the target is not reached, or not watched, as its status says: the reason, and the cause if there is one.
    pub fn complaint(&self, number: u32) -> Option<String> {
        self.state().said.get(&number)?.complaint()
    }

    pub fn pending(&self) -> usize {
        self.state().pending.values().filter(|pending| !pending.is_moot).count()
    }

    /// Targets by phase.
    pub fn phases(&self) -> BTreeMap<String, u32> {
        let mut phases = BTreeMap::new();
        self.state().said.values().for_each(|said| *phases.entry(said.phase.clone()).or_default() += 1);
        phases
    }

    /// Waits until nothing is pending and `failed` of so many targets are Failed and all others Running.
    pub async fn until_right(&self, targets: u32, failed: u32, patience: Duration) -> Result<(), RunError> {
        let start = Instant::now();
        let mut said = start;
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
            if said.elapsed() > Duration::from_secs(10) {
                said = Instant::now();
                eprintln!("  … {pending} changes not seen yet; phases: {phases:?}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What happened since the last call; and how many changes are still waited for.
    pub fn take(&self) -> (Seen, BTreeMap<Group, u32>) {
        let mut state = self.state();
        let mut waiting = BTreeMap::new();
        let waited_for = state.pending.values().filter(|pending| !pending.is_moot);
        waited_for.for_each(|pending| *waiting.entry(pending.group).or_default() += 1);
        (std::mem::take(&mut state.seen), waiting)
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
            Ok(Event::Apply(target) | Event::InitApply(target)) => lock(&state).note(&target),
            Ok(Event::Delete(target)) => lock(&state).gone(&target),
            // The watcher begins anew by itself.
            Ok(Event::Init | Event::InitDone) | Err(_) => {}
        }
    }
}

impl State {
    fn note(&mut self, target: &Target) {
        let Some(number) = number(&target.name_any()) else { return };
        let status = target.status.clone().unwrap_or_default();
        let phase = status.phase.clone();
        let before = self.said.insert(number, status).map(|before| before.phase);
        if before.as_ref() == Some(&phase) {
            return;
        }
        match self.pending.get(&number) {
            Some(pending) if pending.phase == phase && pending.is_moot => {
                self.pending.remove(&number);
            }
            Some(pending) if pending.phase == phase => {
                let (took, group) = (pending.since.elapsed().as_secs_f64(), pending.group);
                self.seen.took.entry(group).or_default().push(took);
                self.pending.remove(&number);
            }
            None if before.as_deref() == Some(RUNNING) => self.seen.unmade += 1,
            _ => {}
        }
    }

    fn gone(&mut self, target: &Target) {
        if let Some(number) = number(&target.name_any()) {
            self.said.remove(&number);
            self.pending.remove(&number);
        }
    }
}

/// The number of a target from its name.
fn number(name: &str) -> Option<u32> {
    name.strip_prefix('c')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses() -> Statuses {
        Statuses { state: Arc::default(), _watch: JoinSet::new() }
    }

    fn note(statuses: &Statuses, number: u32, status: Status) {
        let mut target = Target::new(&format!("c{number:05}"), &resource("IntegrationTarget"), Unread {});
        target.status = Some(status);
        statuses.state().note(&target);
    }

    fn says(statuses: &Statuses, number: u32, phase: &str) {
        note(statuses, number, Status { phase: phase.to_owned(), ..Status::default() });
    }

    #[test]
    fn a_change_that_was_made_is_timed_and_any_other_is_counted() {
        let statuses = statuses();
        says(&statuses, 1, RUNNING);
        says(&statuses, 2, RUNNING);
        statuses.expect(1, FAILED, Group::Change);
        says(&statuses, 1, FAILED);
        says(&statuses, 2, FAILED);
        let (seen, waiting) = statuses.take();
        assert_eq!((seen.took[&Group::Change].len(), seen.unmade), (1, 1));
        assert!(waiting.is_empty() && seen.overtaken.is_empty());
    }

    #[test]
    fn what_is_said_of_a_target_is_why_it_is_not_reached_or_else_not_watched() {
        let statuses = statuses();
        let says = |conditions: &[[&str; 4]]| {
            let texts = conditions.iter().map(|texts| texts.map(str::to_owned));
            let conditions = texts.map(|[kind, status, reason, message]| Condition { kind, status, reason, message });
            note(&statuses, 1, Status { conditions: conditions.collect(), ..Status::default() });
            statuses.complaint(1)
        };
        let broken = ["Watched", "False", "WatchBroken", "a proxy may cut them (buffering, time-outs)"];
        assert_eq!(says(&[broken]).as_deref(), Some("WatchBroken"));
        let lost = ["Reachable", "False", "Unreachable", "unreachable: c1:6443 said nothing (TimedOut)"];
        assert_eq!(says(&[broken, lost]).as_deref(), Some("Unreachable (TimedOut)"));
        assert_eq!(says(&[["Watched", "True", "Watching", ""], ["Reachable", "True", "Connected", ""]]), None);
    }

    #[test]
    fn a_mend_of_what_was_never_seen_broken_is_not_waited_for() {
        let statuses = statuses();
        says(&statuses, 1, RUNNING);
        statuses.expect(1, FAILED, Group::Change);
        statuses.expect(1, RUNNING, Group::Change);
        assert_eq!(statuses.pending(), 0);
        says(&statuses, 1, FAILED);
        says(&statuses, 1, RUNNING);
        statuses.expect(1, FAILED, Group::Change);
        let (seen, waiting) = statuses.take();
        assert_eq!((seen.overtaken[&Group::Change], seen.unmade, waiting[&Group::Change]), (1, 0, 1));
        assert!(seen.took.is_empty());
    }
}
