//! Writes that the API server refused, and when each is tried again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::status_queue::{ObjectId, StatusWrite};

/// After the first refusal; it doubles with each.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// One warning for so long: when something is wrong with the hub, everything is refused for the same reason.
const QUIET: Duration = Duration::from_secs(10);

/// One write for each object at the most; a newer one that waits in the queue comes first, and should this be older
/// than what was written since, its resourceVersion tells.
#[derive(Debug, Default)]
pub(super) struct Refused {
    waiting: BTreeMap<ObjectId, (Instant, StatusWrite)>,
    refusals: HashMap<ObjectId, u32>,
    warned: Option<Instant>,
    unsaid: usize,
}

impl Refused {
    pub(super) fn add(&mut self, id: ObjectId, write: StatusWrite, why: &str, now: Instant) {
        let refusals = self.refusals.entry(id.clone()).or_default();
        let pause = FIRST.saturating_mul(2u32.saturating_pow(*refusals)).min(LONGEST);
        *refusals += 1;
        if self.warned.is_none_or(|warned| now.duration_since(warned) >= QUIET) {
            let (kind, namespace, name) = &id;
            let others = std::mem::take(&mut self.unsaid);
            tracing::warn!(kind, namespace, name, why, others, "the API server refused a status; trying again");
            self.warned = Some(now);
        } else {
            self.unsaid += 1;
        }
        self.waiting.insert(id, (now + pause, write));
    }

    /// The object's status was written, or isn't wanted any more.
    pub(super) fn forget(&mut self, id: &ObjectId) {
        self.refusals.remove(id);
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.values().map(|(due, _)| *due).min()
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(ObjectId, StatusWrite)> {
        let due: Vec<ObjectId> =
            self.waiting.iter().filter(|(_, (due, _))| *due <= now).map(|(id, _)| id.clone()).collect();
        due.into_iter().filter_map(|id| self.waiting.remove(&id).map(|(_, write)| (id, write))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Urgency;

    fn id(name: &str) -> ObjectId {
        ("IntegrationTarget".to_owned(), "fleet".to_owned(), name.to_owned())
    }

    fn write() -> StatusWrite {
        StatusWrite {
            resource: kube::core::ApiResource::erase::<crate::api::IntegrationTarget>(&()),
            object: Default::default(),
            status: "null".to_owned(),
            urgency: Urgency::CanWait,
            transition: None,
        }
    }

    #[test]
    fn what_is_refused_is_tried_again_ever_more_rarely() {
        let (mut refused, start) = (Refused::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            refused.add(id("a"), write(), "no", start);
            let due = refused.next().unwrap();
            pauses.push((due - start).as_secs());
            assert!(refused.due(start).is_empty(), "not yet");
            assert_eq!(refused.due(due).len(), 1);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(refused.next(), None);
        refused.forget(&id("a"));
        refused.add(id("a"), write(), "no", start);
        assert_eq!(refused.next(), Some(start + FIRST));
    }

    #[test]
    fn one_warning_stands_for_many_refusals() {
        let (mut refused, start) = (Refused::default(), Instant::now());
        ["a", "b", "c"].iter().for_each(|name| refused.add(id(name), write(), "no", start));
        assert_eq!((refused.warned, refused.unsaid), (Some(start), 2));
        refused.add(id("d"), write(), "no", start + QUIET);
        assert_eq!((refused.warned, refused.unsaid), (Some(start + QUIET), 0));
    }
}
