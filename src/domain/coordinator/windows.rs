//! Maintenance windows, and the targets that they cover.
//!
//! A window that opens or closes changes the status of each target that it covers. The coordinator keeps no components,
//! so it asks the owners for their reports and writes them with the maintenance of this moment.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::event::ObjectEvent;
use super::fleet::Fleet;
use super::target::Target;
use crate::domain::desired::DesiredTarget;
use crate::domain::keys::{TargetKey, WindowKey};
use crate::domain::maintenance::{Active, Maintenance, Window, shown};

#[derive(Default)]
pub(super) struct Windows {
    all: BTreeMap<WindowKey, Tracked>,
    /// The first list is complete. Until then nothing is concluded from the absence of a window.
    pub(super) is_listed: bool,
}

struct Tracked {
    window: Window,
    /// End of the window, if it is open.
    until: Option<Timestamp>,
    looked: Timestamp,
    /// Time at which it opens or closes next.
    next_change: Option<Timestamp>,
}

impl Tracked {
    fn new(window: Window, now: Timestamp) -> Self {
        let (until, next_change) = (window.when.open_until(now), window.when.next_change(now));
        Self { window, until, looked: now, next_change }
    }

    /// Evaluates the schedule only when it has something new.
    fn look(&mut self, now: Timestamp) {
        if now < self.looked || self.next_change.is_some_and(|change| change <= now) {
            (self.until, self.next_change) = (self.window.when.open_until(now), self.window.when.next_change(now));
        }
        self.looked = now;
    }
}

impl Windows {
    pub(super) fn on_event(&mut self, event: ObjectEvent<WindowKey, Window>, now: Timestamp) {
        match event {
            ObjectEvent::Applied(window) => {
                let is_same = self.all.get(&window.key).is_some_and(|tracked| tracked.window == *window);
                if !is_same {
                    self.all.insert(window.key.clone(), Tracked::new(*window, now));
                }
            }
            ObjectEvent::Deleted(key) => drop(self.all.remove(&key)),
            ObjectEvent::Listed(keys) => {
                self.all.retain(|key, _| keys.contains(key));
                self.is_listed = true;
            }
        }
    }

    fn look(&mut self, now: Timestamp) {
        self.all.values_mut().for_each(|tracked| tracked.look(now));
    }

    /// The open windows that cover the target.
    pub(super) fn covering<'a>(&'a self, target: &'a DesiredTarget) -> impl Iterator<Item = Active<'a>> {
        let namespace = target.key.namespace();
        let here = self.all.range(WindowKey::new(namespace, "")..);
        let here = here.take_while(move |(key, _)| key.namespace() == namespace).map(|(_, tracked)| tracked);
        let open = here.filter_map(|tracked| Some(Active { window: &tracked.window, until: tracked.until? }));
        open.filter(|active| active.window.selector.matches(&target.labels))
    }
}

impl Fleet {
    /// The maintenance that the status of the target is to show.
    pub(super) fn maintenance_of(&self, key: &TargetKey) -> Option<Maintenance> {
        let target = self.targets.get(key)?;
        if !self.windows.is_listed {
            return target.status()?.maintenance.clone();
        }
        self.maintenance(target)
    }

    fn maintenance(&self, target: &Target) -> Option<Maintenance> {
        shown(self.windows.covering(target.desired.as_ref().ok()?))
    }

    /// Asks for the reports of targets whose statuses show another maintenance than there is.
    pub(super) fn follow_windows(&mut self) {
        self.windows.look(self.now.wall);
        if !self.windows.is_listed {
            return;
        }
        let differs = |(key, target): &(&TargetKey, &Target)| {
            let Some(status) = target.status() else { return false };
            status.maintenance != self.maintenance(target) && !self.sessions.wanted.contains(key)
        };
        let changed: Vec<TargetKey> = self.targets.iter().filter(differs).map(|(key, _)| key.clone()).collect();
        if !changed.is_empty() {
            self.ask_owners(changed);
        }
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
