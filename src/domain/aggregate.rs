//! One Integration over all clusters.

use std::collections::BTreeMap;

use super::reason::Reason;
use super::selector::Selector;
use super::verdict::Phase;

/// Clusters that an Integration's status lists at most.
pub const LISTED_CLUSTERS: usize = 100;

/// Which targets an Integration wants. Both ways add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `spec.clusterName` of targets.
    pub cluster_names: Vec<String>,
    pub selector: Option<Selector>,
}

impl Selection {
    pub fn wants(&self, cluster_name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.cluster_names.iter().any(|wanted| wanted == cluster_name)
            || self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }
}

/// One target that the Integration wants, and what is said of the tool there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub name: String,
    /// Name of the IntegrationTarget; none where `targetClusters` names a cluster that no target has.
    pub target: Option<String>,
    pub phase: Phase,
    pub reason: Reason,
    pub message: String,
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
pub struct Summary {
    pub phase: Phase,
    pub reason: Reason,
    pub message: String,
    pub counts: Counts,
    /// At most [`LISTED_CLUSTERS`], worst first, then by name.
    pub clusters: Vec<Cluster>,
}

impl Summary {
    /// For an Integration that is not checked at all, such as a disabled one.
    pub fn without_clusters(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { phase, reason, message: message.into(), counts: Counts::default(), clusters: Vec::new() }
    }
}

/// Sums up `found`, and complains of names in `selection` that no target has or that several have.
pub fn summarize(selection: &Selection, mut found: Vec<Cluster>) -> Summary {
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
    found.sort_by(|a, b| (a.phase, &a.name, &a.target).cmp(&(b.phase, &b.name, &b.target)));
    let (phase, reason, message) = conclude(&counts, &found);
    found.truncate(LISTED_CLUSTERS);
    Summary { phase, reason, message, counts, clusters: found }
}

fn conclude(counts: &Counts, worst_first: &[Cluster]) -> (Phase, Reason, String) {
    let healthy = format!("{}/{} clusters healthy", counts.running, counts.counting());
    let bad: Vec<&Cluster> =
        worst_first.iter().filter(|cluster| matches!(cluster.phase, Phase::Failed | Phase::Unknown)).collect();
    if let Some(first) = bad.first() {
        let special = [Reason::TargetAmbiguous, Reason::TargetNotFound];
        let reason = special
            .into_iter()
            .find(|reason| bad.iter().any(|cluster| cluster.reason == *reason))
            .unwrap_or(Reason::TargetsFailing);
        let more = match bad.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        return (Phase::Failed, reason, format!("{healthy}; {}: {}{more}", first.name, first.message));
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

fn unmatched(selection: &Selection, found: &[Cluster]) -> Vec<Cluster> {
    let mut names: Vec<&String> = selection.cluster_names.iter().collect();
    names.sort_unstable();
    names.dedup();
    let mut bearers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for cluster in found {
        bearers.entry(&cluster.name).or_default().extend(cluster.target.as_deref());
    }
    let fault = |name: &str, reason, message| Cluster {
        name: name.to_owned(),
        target: None,
        phase: Phase::Failed,
        reason,
        message,
    };
    names
        .into_iter()
        .filter_map(|name| match bearers.get(name.as_str()).map(Vec::as_slice) {
            None | Some([]) => Some(fault(
                name,
                Reason::TargetNotFound,
                format!("no IntegrationTarget in this namespace has clusterName {name}"),
            )),
            Some([_]) => None,
            Some(several) => Some(fault(
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

    fn cluster(name: &str, phase: Phase) -> Cluster {
        let reason = if phase == Phase::Failed { Reason::ComponentAbsent } else { Reason::Healthy };
        Cluster { name: name.into(), target: Some(format!("t-{name}")), phase, reason, message: format!("{name} says") }
    }

    fn named(names: &[&str]) -> Selection {
        Selection { cluster_names: names.iter().map(|n| (*n).to_owned()).collect(), selector: None }
    }

    fn everything() -> Selection {
        Selection { cluster_names: vec![], selector: Some(Selector::default()) }
    }

    #[test]
    fn one_bad_cluster_fails_it_and_is_named() {
        let found = vec![cluster("a", Phase::Running), cluster("b", Phase::Failed), cluster("c", Phase::Running)];
        let summary = summarize(&everything(), found);
        assert_eq!((summary.phase, summary.reason), (Phase::Failed, Reason::TargetsFailing));
        assert_eq!(summary.message, "2/3 clusters healthy; b: b says");
        assert_eq!(summary.clusters[0].name, "b");
    }

    #[test]
    fn unknown_counts_as_not_healthy() {
        let summary = summarize(&everything(), vec![cluster("a", Phase::Running), cluster("b", Phase::Unknown)]);
        assert_eq!((summary.phase, summary.message.as_str()), (Phase::Failed, "1/2 clusters healthy; b: b says"));
    }

    #[test]
    fn paused_and_not_installed_count_apart() {
        let found = vec![cluster("a", Phase::Running), cluster("b", Phase::Paused), cluster("c", Phase::NotInstalled)];
        let summary = summarize(&everything(), found);
        assert_eq!(summary.phase, Phase::Running);
        assert_eq!(summary.message, "1/1 clusters healthy; 1 without the tool; 1 paused");
    }

    #[test]
    fn nothing_matches() {
        assert_eq!(summarize(&everything(), vec![]).reason, Reason::NoTargets);
    }

    #[test]
    fn a_name_that_no_target_has_or_that_two_have_is_named() {
        let mut second = cluster("b", Phase::Running);
        second.target = Some("t2-b".into());
        let found = vec![cluster("a", Phase::Running), cluster("b", Phase::Running), second];
        let ambiguous = summarize(&named(&["a", "b"]), found.clone());
        assert_eq!(ambiguous.reason, Reason::TargetAmbiguous);
        assert!(
            ambiguous.message.contains("2 IntegrationTargets have clusterName b: t-b, t2-b"),
            "{}",
            ambiguous.message
        );
        let missing = summarize(&named(&["a", "gone"]), vec![cluster("a", Phase::Running)]);
        assert_eq!(missing.reason, Reason::TargetNotFound);
        assert!(missing.message.contains("clusterName gone"), "{}", missing.message);
    }

    #[test]
    fn at_most_a_hundred_clusters_are_listed_failing_ones_first() {
        let mut found: Vec<Cluster> = (0..300).map(|n| cluster(&format!("c{n:03}"), Phase::Running)).collect();
        found.push(cluster("zz", Phase::Failed));
        let summary = summarize(&everything(), found);
        assert_eq!((summary.clusters.len(), summary.clusters[0].name.as_str()), (LISTED_CLUSTERS, "zz"));
        assert_eq!((summary.counts.total, summary.counts.running), (301, 300));
    }

    #[test]
    fn the_order_of_the_input_changes_nothing() {
        let mut found = vec![cluster("a", Phase::Failed), cluster("b", Phase::Unknown), cluster("c", Phase::Running)];
        let one = summarize(&everything(), found.clone());
        found.reverse();
        assert_eq!(one, summarize(&everything(), found));
    }
}
