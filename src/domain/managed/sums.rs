//! Managed objects, summed over clusters.

use std::collections::BTreeMap;

use super::counts::{Counts, ResourceSummary};

/// The managed objects of one kind on all clusters of an Integration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSum {
    /// Such as `Application`.
    pub kind: String,
    /// Objects by state, without names.
    pub counts: Counts,
    /// Clusters on which some fail.
    pub clusters: u32,
}

/// Sums that follow each cluster's counts.
#[derive(Debug, Default)]
pub(in crate::domain) struct Sums(BTreeMap<String, ResourceSum>);

impl Sums {
    /// Counts the objects of a cluster.
    pub(in crate::domain) fn add(&mut self, cluster: &[ResourceSummary]) {
        for ResourceSummary { kind, counts, .. } in cluster {
            let sum =
                self.0.entry(kind.clone()).or_insert_with(|| ResourceSum { kind: kind.clone(), ..Default::default() });
            sum.change(counts, u32::saturating_add);
        }
    }

    /// Takes back the objects of a cluster that [`Self::add`] counted.
    pub(in crate::domain) fn take(&mut self, cluster: &[ResourceSummary]) {
        for ResourceSummary { kind, counts, .. } in cluster {
            if let Some(sum) = self.0.get_mut(kind) {
                sum.change(counts, u32::saturating_sub);
            }
        }
        self.0.retain(|_, sum| sum.counts.total > 0);
    }

    /// By kind. A kind of which no cluster has objects, or which no cluster lets ksit read, is absent.
    pub(in crate::domain) fn all(&self) -> Vec<ResourceSum> {
        self.0.values().filter(|sum| sum.counts.total > 0).cloned().collect()
    }
}

impl ResourceSum {
    fn change(&mut self, by: &Counts, change: fn(u32, u32) -> u32) {
        self.counts.change(by, change);
        self.clusters = change(self.clusters, u32::from(by.failing > 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(total: u32, failing: u32) -> Vec<ResourceSummary> {
        let counts = Counts { total, failing, ..Counts::default() };
        vec![ResourceSummary { kind: "Application".to_owned(), counts, message: None }]
    }

    #[test]
    fn sums_follow_the_clusters() {
        let mut sums = Sums::default();
        for cluster in [cluster(5, 0), cluster(7, 2)] {
            sums.add(&cluster);
        }
        let all = sums.all();
        assert_eq!((all[0].counts.total, all[0].counts.failing, all[0].clusters), (12, 2, 1));
        sums.take(&cluster(7, 2));
        assert_eq!((sums.all()[0].counts.total, sums.all()[0].clusters), (5, 0));
        sums.take(&cluster(5, 0));
        assert_eq!(sums.all(), []);
    }

    #[test]
    fn kind_without_objects_is_absent_whichever_cluster_came_last() {
        let mut sums = Sums::default();
        sums.add(&cluster(0, 0));
        sums.add(&cluster(0, 0));
        assert_eq!(sums.all(), [], "also one that may not be read");
        sums.take(&cluster(0, 0));
        assert_eq!(sums.all(), []);
        sums.add(&cluster(3, 0));
        assert_eq!(sums.all()[0].counts.total, 3);
    }
}
