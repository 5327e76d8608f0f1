//! One Integration over all clusters.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::reason::Reason;
use super::selector::Selector;
use super::verdict::Phase;

/// Clusters that an Integration's status lists at most.
pub const LISTED_CLUSTERS: usize = 100;

/// Which targets an Integration wants. Both ways add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `spec.clusterName` of targets.
    pub cluster_names: BTreeSet<String>,
    pub selector: Option<Selector>,
}

impl Selection {
    pub fn wants(&self, cluster_name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.cluster_names.contains(cluster_name)
            || self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }
}

/// One target that the Integration wants, and what is said of the tool there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster<'a> {
    pub name: &'a str,
    /// Name of the IntegrationTarget; none where `targetClusters` names a cluster that no target has.
    pub target: Option<&'a str>,
    pub phase: Phase,
    pub reason: Reason,
    pub message: Cow<'a, str>,
}

/// Clusters by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u32,
    pub running: u32,
    pub failed: u32,
    pub unknown: u32,
    pub initializing: u32,
    pub paused: u32,
    pub not_installed: u32,
}

impl Counts {
    fn add(&mut self, phase: Phase) {
        self.total += 1;
        *match phase {
            Phase::Running => &mut self.running,
            Phase::Failed => &mut self.failed,
            Phase::Unknown => &mut self.unknown,
            Phase::Initializing => &mut self.initializing,
            Phase::Paused => &mut self.paused,
            Phase::NotInstalled => &mut self.not_installed,
        } += 1;
    }

    /// Clusters in the denominator of "healthy of all".
    pub fn counting(&self) -> u32 {
        self.total - self.paused - self.not_installed
    }
}

/// What an Integration's status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary<'a> {
    pub phase: Phase,
    pub reason: Reason,
    pub message: String,
    pub counts: Counts,
    /// At most [`LISTED_CLUSTERS`], worst first, then by name; of more than that those alone that have the tool and are
    /// not healthy.
    pub clusters: Vec<Cluster<'a>>,
}

impl Summary<'_> {
    /// For an Integration that is not checked at all, such as a disabled one.
    pub fn without_clusters(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { phase, reason, message: message.into(), counts: Counts::default(), clusters: Vec::new() }
    }
}

/// Sums up `found`, and complains of names in `selection` that no target has or that several have.
pub fn summarize<'a>(selection: &'a Selection, mut found: Vec<Cluster<'a>>) -> Summary<'a> {
    found.extend(unmatched(selection, &found));
    if found.is_empty() {
        return Summary::without_clusters(
            Phase::Failed,
            Reason::NoTargets,
            "no IntegrationTarget in this namespace matches targetClusters or targetSelector",
        );
    }
    let mut counts = Counts::default();
    for cluster in &found {
        counts.add(cluster.phase);
    }
    let reason = worst_reason(&found);
    if found.len() > LISTED_CLUSTERS {
        // The first few of thousands of which nothing is to be said: nothing to read, and as much to store.
        found.retain(|cluster| !matches!(cluster.phase, Phase::Running | Phase::NotInstalled));
    }
    found.sort_unstable_by(|a, b| (a.phase, a.name, a.target).cmp(&(b.phase, b.name, b.target)));
    found.truncate(LISTED_CLUSTERS);
    let (phase, reason, message) = conclude(&counts, reason, found.first());
    Summary { phase, reason, message, counts, clusters: found }
}

/// Why the Integration is not healthy, if it isn't.
fn worst_reason(found: &[Cluster]) -> Reason {
    let special = [Reason::TargetAmbiguous, Reason::TargetNotFound];
    let is_there = |reason: &Reason| found.iter().any(|cluster| cluster.phase.is_bad() && cluster.reason == *reason);
    special.into_iter().find(is_there).unwrap_or(Reason::TargetsFailing)
}

fn conclude(counts: &Counts, worst_reason: Reason, worst: Option<&Cluster>) -> (Phase, Reason, String) {
    let healthy = format!("{}/{} clusters healthy", counts.running, counts.counting());
    if let Some(worst) = worst.filter(|worst| worst.phase.is_bad()) {
        let more = match counts.failed + counts.unknown {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        return (Phase::Failed, worst_reason, format!("{healthy}; {}: {}{more}", worst.name, worst.message));
    }
    if counts.initializing > 0 {
        let waiting = format!("{healthy}; {} waiting for their first check", counts.initializing);
        return (Phase::Initializing, Reason::Initializing, waiting);
    }
    if counts.total == counts.paused {
        return (Phase::Paused, Reason::Paused, "every cluster is paused".to_owned());
    }
    let mut apart = String::new();
    if counts.not_installed > 0 {
        apart.push_str(&format!("; {} without the tool", counts.not_installed));
    }
    if counts.paused > 0 {
        apart.push_str(&format!("; {} paused", counts.paused));
    }
    (Phase::Running, Reason::Healthy, format!("{healthy}{apart}"))
}

fn unmatched<'a>(selection: &'a Selection, found: &[Cluster<'a>]) -> Vec<Cluster<'a>> {
    let names = selection.cluster_names.iter().map(String::as_str);
    let mut bearers: BTreeMap<&'a str, Vec<&'a str>> = names.map(|name| (name, Vec::new())).collect();
    for cluster in found {
        if let Some(targets) = bearers.get_mut(cluster.name) {
            targets.extend(cluster.target);
        }
    }
    let fault = |name, reason, message: String| Cluster {
        name,
        target: None,
        phase: Phase::Failed,
        reason,
        message: message.into(),
    };
    bearers
        .into_iter()
        .filter_map(|(name, targets)| match targets.as_slice() {
            [] => Some(fault(
                name,
                Reason::TargetNotFound,
                format!("no IntegrationTarget in this namespace has clusterName {name}"),
            )),
            [_] => None,
            several => Some(fault(
                name,
                Reason::TargetAmbiguous,
                format!("{} IntegrationTargets have clusterName {name}: {}", several.len(), several.join(", ")),
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, phase: Phase) -> Cluster<'_> {
        let reason = if phase == Phase::Failed { Reason::ComponentAbsent } else { Reason::Healthy };
        Cluster { name, target: Some(name), phase, reason, message: format!("{name} says").into() }
    }

    fn named(names: &[&str]) -> Selection {
        Selection { cluster_names: names.iter().map(|n| (*n).to_owned()).collect(), selector: None }
    }

    static EVERYTHING: Selection = Selection { cluster_names: BTreeSet::new(), selector: Some(Selector(Vec::new())) };

    #[test]
    fn one_bad_cluster_fails_it_and_is_named() {
        let found = vec![cluster("a", Phase::Running), cluster("b", Phase::Failed), cluster("c", Phase::Running)];
        let summary = summarize(&EVERYTHING, found);
        assert_eq!((summary.phase, summary.reason), (Phase::Failed, Reason::TargetsFailing));
        assert_eq!(summary.message, "2/3 clusters healthy; b: b says");
        assert_eq!(summary.clusters[0].name, "b");
    }

    #[test]
    fn unknown_counts_as_not_healthy() {
        let summary = summarize(&EVERYTHING, vec![cluster("a", Phase::Running), cluster("b", Phase::Unknown)]);
        assert_eq!((summary.phase, summary.message.as_str()), (Phase::Failed, "1/2 clusters healthy; b: b says"));
    }

    #[test]
    fn paused_and_not_installed_count_apart() {
        let found = vec![cluster("a", Phase::Running), cluster("b", Phase::Paused), cluster("c", Phase::NotInstalled)];
        let summary = summarize(&EVERYTHING, found);
        assert_eq!(summary.phase, Phase::Running);
        assert_eq!(summary.message, "1/1 clusters healthy; 1 without the tool; 1 paused");
    }

    #[test]
    fn nothing_matches() {
        assert_eq!(summarize(&EVERYTHING, vec![]).reason, Reason::NoTargets);
    }

    #[test]
    fn a_name_that_no_target_has_or_that_two_have_is_named() {
        let mut second = cluster("b", Phase::Running);
        second.target = Some("second");
        let found = vec![cluster("a", Phase::Running), cluster("b", Phase::Running), second];
        let selection = named(&["a", "b"]);
        let ambiguous = summarize(&selection, found);
        assert_eq!(ambiguous.reason, Reason::TargetAmbiguous);
        assert!(
            ambiguous.message.contains("2 IntegrationTargets have clusterName b: b, second"),
            "{}",
            ambiguous.message
        );
        let selection = named(&["a", "gone"]);
        let missing = summarize(&selection, vec![cluster("a", Phase::Running)]);
        assert_eq!(missing.reason, Reason::TargetNotFound);
        assert!(missing.message.contains("clusterName gone"), "{}", missing.message);
    }

    #[test]
    fn at_most_a_hundred_clusters_are_listed_failing_ones_first_then_by_name() {
        let names: Vec<String> = (0..300).rev().map(|n| format!("c{n:03}")).collect();
        let mut found: Vec<Cluster> = names.iter().map(|name| cluster(name, Phase::Paused)).collect();
        found.push(cluster("zz", Phase::Failed));
        let summary = summarize(&EVERYTHING, found);
        let listed: Vec<&str> = summary.clusters.iter().map(|cluster| cluster.name).collect();
        assert_eq!((listed.len(), &listed[..3], listed[99]), (LISTED_CLUSTERS, &["zz", "c000", "c001"][..], "c098"));
        assert_eq!((summary.counts.total, summary.counts.paused), (301, 300));
    }

    #[test]
    fn clusters_that_are_healthy_or_without_the_tool_are_listed_only_where_all_have_room() {
        let names: Vec<String> = (0..LISTED_CLUSTERS).map(|n| format!("c{n:03}")).collect();
        let healthy: Vec<Cluster> = names.iter().map(|name| cluster(name, Phase::Running)).collect();
        assert_eq!(summarize(&EVERYTHING, healthy.clone()).clusters.len(), LISTED_CLUSTERS);
        let more = [healthy, vec![cluster("yy", Phase::NotInstalled), cluster("zz", Phase::Failed)]].concat();
        let summary = summarize(&EVERYTHING, more);
        assert_eq!(summary.clusters, [cluster("zz", Phase::Failed)]);
        assert_eq!((summary.counts.running, summary.message.as_str()), (100, "100/101 clusters healthy; zz: zz says"));
    }

    #[test]
    fn what_is_beyond_the_list_counts_all_the_same() {
        let names: Vec<String> = (0..300).map(|n| format!("c{n:03}")).collect();
        let found = names.iter().map(|name| cluster(name, Phase::Failed)).collect();
        let selection = Selection { cluster_names: ["unknown".to_owned()].into(), ..EVERYTHING.clone() };
        let summary = summarize(&selection, found);
        assert_eq!(summary.reason, Reason::TargetNotFound);
        assert_eq!(summary.message, "0/301 clusters healthy; c000: c000 says (and 300 more)");
    }

    #[test]
    fn the_order_of_the_input_changes_nothing() {
        let mut found = vec![cluster("a", Phase::Failed), cluster("b", Phase::Unknown), cluster("c", Phase::Running)];
        let one = summarize(&EVERYTHING, found.clone());
        found.reverse();
        assert_eq!(one, summarize(&EVERYTHING, found));
    }
}
