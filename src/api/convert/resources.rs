//! Maps managed objects in statuses to the stored JSON and back.

use super::status::time;
use crate::api::{FailingObject, ResourceCounts, ResourceTotals};
use crate::domain::managed::{self, Counts, ResourceSum, ResourceSummary};

pub(super) fn stored(summary: ResourceSummary) -> ResourceCounts {
    let ResourceSummary { kind, counts, message } = summary;
    let Counts { total, progressing, suspended, failing, unknown, worst } = counts;
    let object = |object: managed::FailingObject| {
        let managed::FailingObject { namespace, name, reason, since } = object;
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        FailingObject { namespace, name, reason, since: since.map(|since| since.to_string()) }
    };
    let worst = worst.into_iter().map(object).collect();
    ResourceCounts { kind, total, failing, progressing, suspended, unknown, worst, message }
}

pub(super) fn read(stored: ResourceCounts) -> ResourceSummary {
    let ResourceCounts { kind, total, failing, progressing, suspended, unknown, worst, message } = stored;
    let object = |object: FailingObject| {
        let FailingObject { namespace, name, reason, since } = object;
        let namespace = namespace.unwrap_or_default();
        managed::FailingObject { namespace, name, reason, since: time(since.as_deref()) }
    };
    let worst = worst.into_iter().map(object).collect();
    ResourceSummary { kind, counts: Counts { total, progressing, suspended, failing, unknown, worst }, message }
}

pub(super) fn stored_sum(sum: ResourceSum) -> ResourceTotals {
    let ResourceSum { kind, counts, clusters } = sum;
    let Counts { total, progressing, suspended, failing, unknown, worst: _ } = counts;
    ResourceTotals { kind, total, failing, progressing, suspended, unknown, clusters_failing: clusters }
}

pub(super) fn read_sum(stored: ResourceTotals) -> ResourceSum {
    let ResourceTotals { kind, total, failing, progressing, suspended, unknown, clusters_failing } = stored;
    let counts = Counts { total, progressing, suspended, failing, unknown, worst: Vec::new() };
    ResourceSum { kind, counts, clusters: clusters_failing }
}
