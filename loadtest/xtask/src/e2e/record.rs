//! Records the states of a kind of object: each one that differs from its predecessor.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Client, ResourceExt};
use testkit::division::Division;
use testkit::resources::api;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{E2eError, NAMESPACE};

/// Watches until dropped. The kind must exist.
pub(super) struct Record<T> {
    states: Arc<Mutex<Vec<T>>>,
    _watch: JoinSet<()>,
}

type Objects = BTreeMap<String, DynamicObject>;

impl<T: Clone + PartialEq + Send + std::fmt::Debug + 'static> Record<T> {
    fn watch(client: Client, kind: &str, read: impl Fn(&Objects) -> Option<T> + Send + 'static) -> Self {
        let states = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(api(&client, NAMESPACE, kind), states.clone(), read));
        Self { states, _watch: tasks }
    }

    pub(super) fn now(&self) -> Option<T> {
        lock(&self.states).last().cloned()
    }

    pub(super) fn mark(&self) -> usize {
        lock(&self.states).len()
    }

    /// The states after `mark`.
    pub(super) fn since(&self, mark: usize) -> Vec<T> {
        lock(&self.states)[mark..].to_vec()
    }

    /// Waits until the latest state satisfies `is_so`.
    pub(super) async fn until(
        &self,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&T) -> bool,
    ) -> Result<T, E2eError> {
        let start = Instant::now();
        loop {
            let now = self.now();
            if let Some(now) = now.as_ref().filter(|now| is_so(now)) {
                return Ok(now.clone());
            }
            if start.elapsed() > patience {
                return Err(format!("after {} s it is still not so: {what}; but {now:?}", patience.as_secs()).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Objects of the kind by phase, such as `Failed 3, Running 9`.
pub(super) fn phases(client: Client, kind: &str) -> Record<String> {
    Record::watch(client, kind, |objects| {
        let mut phases: BTreeMap<&str, u32> = BTreeMap::new();
        for object in objects.values() {
            *phases.entry(object.data["status"]["phase"].as_str().unwrap_or("none")).or_default() += 1;
        }
        let counts: Vec<String> = phases.iter().map(|(phase, count)| format!("{phase} {count}")).collect();
        Some(counts.join(", "))
    })
}

pub(super) fn maps(client: Client) -> Record<Division> {
    Record::watch(client, "ShardMap", |maps| Division::parse(&maps.values().next()?.data["spec"]))
}

fn lock<T>(states: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow<T: PartialEq>(
    api: Api<DynamicObject>,
    states: Arc<Mutex<Vec<T>>>,
    read: impl Fn(&Objects) -> Option<T>,
) {
    let mut objects = Objects::new();
    let mut events = watcher::watcher(api, Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object)) => drop(objects.insert(object.name_any(), object)),
            Ok(Event::Delete(object)) => drop(objects.remove(&object.name_any())),
            Ok(Event::InitDone) => {}
            // A partial list is not a state.
            Ok(Event::InitApply(object)) => {
                objects.insert(object.name_any(), object);
                continue;
            }
            Ok(Event::Init) => {
                objects.clear();
                continue;
            }
            Err(_) => continue,
        }
        let mut states = lock(&states);
        if let Some(state) = read(&objects).filter(|state| states.last() != Some(state)) {
            states.push(state);
        }
    }
}
