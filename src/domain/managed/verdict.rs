//! A tool's verdict on the objects that it manages.

use std::sync::Arc;

use super::counts::{Counts, ResourceSummary};
use super::{ManagedKind, ManagedList};
use crate::domain::judge::{Fault, rule_to_add};
use crate::domain::reason::Reason;
use crate::domain::snapshot::{Answer, PERSISTENT, Query, Snapshot};
use crate::domain::verdict::Phase;

/// Failing objects named in a message; the status has more.
const NAMED_IN_MESSAGE: usize = 3;

/// The managed objects of each kind that the cluster has.
pub(in crate::domain) fn summaries(kinds: &[ManagedKind], snapshot: &Snapshot) -> Vec<ResourceSummary> {
    kinds.iter().filter_map(|kind| summary(kind, snapshot)).collect()
}

/// `None` if the cluster does not have the kind, or has not been asked yet.
fn summary(kind: &ManagedKind, snapshot: &Snapshot) -> Option<ResourceSummary> {
    let (mut counts, mut message, mut is_there) = (Counts::default(), None, false);
    for list in &kind.lists {
        let Some((query, answer)) = answer(list, snapshot) else { continue };
        match answer {
            Answer::Managed(found) => counts.merge(found),
            Answer::Counted(found) => {
                counts.merge(found);
                message = Some(too_many(list));
            }
            Answer::Forbidden => message = Some(format!("may not be read: {}", rule_to_add(&query))),
            // A time-out while thousands of clusters are read for the first time is no fault of this one.
            Answer::Unreadable { times, .. } if *times < PERSISTENT => continue,
            Answer::Unreadable { reason, .. } => message = Some(unreadable(list, *reason)),
            _ => continue,
        }
        is_there = true;
    }
    is_there.then(|| ResourceSummary { kind: kind.kind.clone(), counts, message })
}

fn too_many(list: &ManagedList) -> String {
    let place = if list.namespace.is_empty() { "the cluster" } else { &list.namespace };
    format!(
        "{place} has more {} than ksit follows, which are counted once in ten rounds: choose namespaces with the config \
         key namespaces.{}",
        list.plural, list.kind
    )
}

fn unreadable(list: &ManagedList, reason: Reason) -> String {
    format!("can't be listed, {reason}: kubectl get {} on the cluster shows why", list.plural)
}

/// The answer in the newest version that the cluster serves.
fn answer<'s>(list: &Arc<ManagedList>, snapshot: &'s Snapshot) -> Option<(Query, &'s Answer)> {
    let mut list = list.clone();
    loop {
        let query = Query::Managed(list.clone());
        match snapshot.get(&query) {
            None | Some(Answer::NotFound) => list = list.in_earlier_version()?.into(),
            Some(found) => return Some((query, found)),
        }
    }
}

/// The faults that failing objects make, by `failWhen` of their kinds.
pub(in crate::domain) fn faults(kinds: &[ManagedKind], summaries: &[ResourceSummary]) -> Vec<Fault> {
    let of = |summary: &ResourceSummary| {
        let kind = kinds.iter().find(|kind| kind.kind == summary.kind)?;
        let Counts { total, failing, .. } = summary.counts;
        let is_reached = kind.fail_when.is_reached(failing, total)?;
        if failing == 0 {
            let message = format!("{} {}", summary.kind, summary.message.as_ref()?);
            return Some(Fault { phase: Phase::Degraded, reason: Reason::ResourcesUnknown, message });
        }
        Some(Fault {
            phase: if is_reached { Phase::Failed } else { Phase::Degraded },
            reason: Reason::ResourcesFailing,
            message: format!("{} {} failing: {}", failing, summary.kind, names(summary)),
        })
    };
    summaries.iter().filter_map(of).collect()
}

/// `team-a/web (Degraded), team-b/api (SyncFailed) and 3 more`.
fn names(summary: &ResourceSummary) -> String {
    let named = summary.counts.worst.iter().take(NAMED_IN_MESSAGE).map(|object| {
        let reason = object.reason.as_ref().map(|reason| format!(" ({reason})"));
        object.place() + &reason.unwrap_or_default()
    });
    let named: Vec<String> = named.collect();
    let all = summary.counts.failing as usize;
    let more = if all > named.len() { format!(" and {} more", all - named.len()) } else { String::new() };
    named.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::super::{FailWhen, RuleTexts, Rules};
    use super::*;

    fn kind() -> ManagedKind {
        let list = ManagedList {
            kind: "Application".to_owned(),
            group: "argoproj.io".to_owned(),
            versions: vec!["v1alpha1".to_owned()],
            plural: "applications".to_owned(),
            namespace: String::new(),
            rules: Arc::new(Rules::compile(RuleTexts::default()).unwrap()),
        };
        ManagedKind { kind: "Application".to_owned(), lists: vec![Arc::new(list)], fail_when: FailWhen::Count(1) }
    }

    #[test]
    fn list_that_fails_once_is_no_fault_yet() {
        let kinds = [kind()];
        let query = Query::Managed(kinds[0].lists[0].clone());
        let mut answer = None;
        let mut faults_after = |reason: Reason| {
            let next = Answer::unreadable(reason, answer.as_ref());
            answer = Some(next.clone());
            faults(&kinds, &summaries(&kinds, &Snapshot::from([(query.clone(), next)])))
        };
        assert_eq!(faults_after(Reason::TimedOut), []);
        assert_eq!(faults_after(Reason::ServerError), []);
        let found = faults_after(Reason::TimedOut);
        assert_eq!(found[0].reason, Reason::ResourcesUnknown);
        assert!(found[0].message.contains("TimedOut: kubectl get applications"), "{found:?}");
    }
}
