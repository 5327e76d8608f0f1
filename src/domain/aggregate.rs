//! One Integration over all clusters.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keys::TargetKey;
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
    pub fn add(&mut self, phase: Phase) {
        self.total += 1;
        *self.of(phase) += 1;
    }

    fn take(&mut self, phase: Phase) {
        self.total -= 1;
        *self.of(phase) -= 1;
    }

    fn of(&mut self, phase: Phase) -> &mut u32 {
        match phase {
            Phase::Running => &mut self.running,
            Phase::Failed => &mut self.failed,
            // Not known here to be well.
            Phase::Unknown | Phase::Other(_) => &mut self.unknown,
            Phase::Initializing => &mut self.initializing,
            Phase::Paused => &mut self.paused,
            Phase::NotInstalled => &mut self.not_installed,
        }
    }

    pub fn by_phase(mut self) -> [(Phase, u32); Phase::ALL.len()] {
        Phase::ALL.map(|phase| (phase, *self.of(phase)))
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

/// The clusters that an Integration wants, counted as they change: a summary of ten thousand takes as long as one of a
/// hundred.
#[derive(Debug, Default)]
pub struct Tally {
    /// Targets that bear a name of [`Selection::cluster_names`].
    bearers: BTreeMap<String, BTreeSet<TargetKey>>,
    known: BTreeMap<TargetKey, (Phase, Arc<str>)>,
    /// The same, worst first, then by name of the cluster.
    ranked: BTreeSet<(Phase, Arc<str>, TargetKey)>,
    counts: Counts,
}

impl Tally {
    pub fn new(selection: &Selection) -> Self {
        let bearers = selection.cluster_names.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
        Self { bearers, ..Self::default() }
    }

    /// The Integration wants the target; `phase` is the tool's there.
    pub fn put(&mut self, target: &TargetKey, cluster_name: &Arc<str>, phase: Phase) {
        if self.known.get(target).is_some_and(|(known, name)| *known == phase && name == cluster_name) {
            return;
        }
        self.remove(target);
        self.known.insert(target.clone(), (phase, cluster_name.clone()));
        self.ranked.insert((phase, cluster_name.clone(), target.clone()));
        self.counts.add(phase);
        if let Some(bearers) = self.bearers.get_mut(&**cluster_name) {
            bearers.insert(target.clone());
        }
    }

    /// The Integration doesn't want the target, or not any more.
    pub fn remove(&mut self, target: &TargetKey) {
        let Some((phase, cluster_name)) = self.known.remove(target) else { return };
        self.counts.take(phase);
        if let Some(bearers) = self.bearers.get_mut(&*cluster_name) {
            bearers.remove(target);
        }
        self.ranked.remove(&(phase, cluster_name, target.clone()));
    }

    /// Sums it up, and complains of names that no target has or that several have. `said` is what is said of the tool
    /// on a target; it is asked for those that are listed.
    pub fn summarize<'a>(&'a self, said: impl Fn(&TargetKey) -> (Reason, Cow<'a, str>)) -> Summary<'a> {
        let faults = self.faults();
        let mut counts = self.counts;
        faults.iter().for_each(|fault| counts.add(fault.phase));
        if counts.total == 0 {
            return Summary::without_clusters(
                Phase::Failed,
                Reason::NoTargets,
                "no IntegrationTarget in this namespace matches targetClusters or targetSelector",
            );
        }
        let is_there = |reason: &Reason| faults.iter().any(|fault| fault.reason == *reason);
        let of_names = [Reason::TargetAmbiguous, Reason::TargetNotFound].into_iter().find(is_there);
        let worst_reason = of_names.unwrap_or(Reason::TargetsFailing);
        // The first few of thousands of which nothing is to be said: nothing to read, and as much to store.
        let is_listed =
            |phase| counts.total as usize <= LISTED_CLUSTERS || !matches!(phase, Phase::Running | Phase::NotInstalled);
        let known = self.ranked.iter().take_while(|(phase, ..)| is_listed(*phase)).take(LISTED_CLUSTERS);
        let known = known.map(|(phase, name, target)| {
            let (reason, message) = said(target);
            Cluster { name, target: Some(target.name()), phase: *phase, reason, message }
        });
        let mut clusters: Vec<Cluster> = known.chain(faults).collect();
        clusters.sort_unstable_by(|a, b| (a.phase, a.name, a.target).cmp(&(b.phase, b.name, b.target)));
        clusters.truncate(LISTED_CLUSTERS);
        let (phase, reason, message) = conclude(&counts, worst_reason, clusters.first());
        Summary { phase, reason, message, counts, clusters }
    }

    fn faults(&self) -> Vec<Cluster<'_>> {
        let fault = |name, reason, message: String| Cluster {
            name,
            target: None,
            phase: Phase::Failed,
            reason,
            message: message.into(),
        };
        let mut faults = Vec::new();
        for (name, targets) in &self.bearers {
            match targets.len() {
                0 => faults.push(fault(
                    name,
                    Reason::TargetNotFound,
                    format!("no IntegrationTarget in this namespace has clusterName {name}"),
                )),
                1 => {}
                several => {
                    let targets: Vec<&str> = targets.iter().map(TargetKey::name).collect();
                    let targets = targets.join(", ");
                    faults.push(fault(
                        name,
                        Reason::TargetAmbiguous,
                        format!("{several} IntegrationTargets have clusterName {name}: {targets}"),
                    ));
                }
            }
        }
        faults
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> TargetKey {
        TargetKey::new("fleet", name)
    }

    /// Of clusters whose targets have the same names.
    fn tally(selection: &Selection, clusters: &[(&str, Phase)]) -> Tally {
        let mut tally = Tally::new(selection);
        for (name, phase) in clusters {
            tally.put(&target(name), &(*name).into(), *phase);
        }
        tally
    }

    fn said<'a>(target: &TargetKey) -> (Reason, Cow<'a, str>) {
        (Reason::ComponentAbsent, format!("{} says", target.name()).into())
    }

    fn failed(name: &str) -> Cluster<'_> {
        let (reason, message) = said(&target(name));
        Cluster { name, target: Some(name), phase: Phase::Failed, reason, message }
    }

    fn listed<'a>(summary: &'a Summary<'_>) -> Vec<&'a str> {
        summary.clusters.iter().map(|cluster| cluster.name).collect()
    }

    fn named(names: &[&str]) -> Selection {
        Selection { cluster_names: names.iter().map(|n| (*n).to_owned()).collect(), selector: None }
    }

    static EVERYTHING: Selection = Selection { cluster_names: BTreeSet::new(), selector: Some(Selector(Vec::new())) };

    #[test]
    fn one_bad_cluster_fails_it_and_is_named() {
        let tally = tally(&EVERYTHING, &[("a", Phase::Running), ("b", Phase::Failed), ("c", Phase::Running)]);
        let summary = tally.summarize(said);
        assert_eq!((summary.phase, summary.reason), (Phase::Failed, Reason::TargetsFailing));
        assert_eq!(summary.message, "2/3 clusters healthy; b: b says");
        assert_eq!(summary.clusters[0], failed("b"));
    }

    #[test]
    fn unknown_counts_as_not_healthy() {
        let tally = tally(&EVERYTHING, &[("a", Phase::Running), ("b", Phase::Unknown)]);
        let summary = tally.summarize(said);
        assert_eq!((summary.phase, summary.message.as_str()), (Phase::Failed, "1/2 clusters healthy; b: b says"));
    }

    #[test]
    fn paused_and_not_installed_count_apart() {
        let tally = tally(&EVERYTHING, &[("a", Phase::Running), ("b", Phase::Paused), ("c", Phase::NotInstalled)]);
        let summary = tally.summarize(said);
        assert_eq!(summary.phase, Phase::Running);
        assert_eq!(summary.message, "1/1 clusters healthy; 1 without the tool; 1 paused");
    }

    #[test]
    fn nothing_matches() {
        assert_eq!(Tally::default().summarize(said).reason, Reason::NoTargets);
    }

    #[test]
    fn a_name_that_no_target_has_or_that_two_have_is_named() {
        let mut both = tally(&named(&["a", "b"]), &[("a", Phase::Running), ("b", Phase::Running)]);
        both.put(&target("second"), &"b".into(), Phase::Running);
        let ambiguous = both.summarize(said);
        assert_eq!(ambiguous.reason, Reason::TargetAmbiguous);
        assert!(
            ambiguous.message.contains("2 IntegrationTargets have clusterName b: b, second"),
            "{}",
            ambiguous.message
        );
        let one = tally(&named(&["a", "gone"]), &[("a", Phase::Running)]);
        let missing = one.summarize(said);
        assert_eq!(missing.reason, Reason::TargetNotFound);
        assert!(missing.message.contains("clusterName gone"), "{}", missing.message);
        both.remove(&target("second"));
        assert_eq!(both.summarize(said).reason, Reason::Healthy);
    }

    #[test]
    fn at_most_a_hundred_clusters_are_listed_failing_ones_first_then_by_name() {
        let names: Vec<String> = (0..300).rev().map(|n| format!("c{n:03}")).collect();
        let mut clusters: Vec<_> = names.iter().map(|name| (name.as_str(), Phase::Paused)).collect();
        clusters.push(("zz", Phase::Failed));
        let tally = tally(&EVERYTHING, &clusters);
        let summary = tally.summarize(said);
        let listed = listed(&summary);
        assert_eq!((listed.len(), &listed[..3], listed[99]), (LISTED_CLUSTERS, &["zz", "c000", "c001"][..], "c098"));
        assert_eq!((summary.counts.total, summary.counts.paused), (301, 300));
    }

    #[test]
    fn clusters_that_are_healthy_or_without_the_tool_are_listed_only_where_all_have_room() {
        let names: Vec<String> = (0..LISTED_CLUSTERS).map(|n| format!("c{n:03}")).collect();
        let healthy: Vec<_> = names.iter().map(|name| (name.as_str(), Phase::Running)).collect();
        let mut tally = tally(&EVERYTHING, &healthy);
        assert_eq!(tally.summarize(said).clusters.len(), LISTED_CLUSTERS);
        tally.put(&target("yy"), &"yy".into(), Phase::NotInstalled);
        tally.put(&target("zz"), &"zz".into(), Phase::Failed);
        let summary = tally.summarize(said);
        assert_eq!(summary.clusters, [failed("zz")]);
        assert_eq!((summary.counts.running, summary.message.as_str()), (100, "100/101 clusters healthy; zz: zz says"));
    }

    #[test]
    fn what_is_beyond_the_list_counts_all_the_same() {
        let names: Vec<String> = (0..300).map(|n| format!("c{n:03}")).collect();
        let clusters: Vec<_> = names.iter().map(|name| (name.as_str(), Phase::Failed)).collect();
        let selection = Selection { cluster_names: ["unknown".to_owned()].into(), ..EVERYTHING.clone() };
        let tally = tally(&selection, &clusters);
        let summary = tally.summarize(said);
        assert_eq!(summary.reason, Reason::TargetNotFound);
        assert_eq!(summary.message, "0/301 clusters healthy; c000: c000 says (and 300 more)");
    }

    #[test]
    fn what_it_comes_to_depends_on_what_stands_and_not_on_what_stood() {
        let phases = |n: usize| Phase::ALL[n % Phase::ALL.len()];
        let names: Vec<String> = (0..40).map(|n| format!("c{n:02}")).collect();
        let selection = named(&["c01", "c02", "other"]);
        let (mut changed, mut fresh) = (Tally::new(&selection), Tally::new(&selection));
        for (n, name) in names.iter().enumerate().rev() {
            changed.put(&target(name), &name.as_str().into(), phases(n + 1));
            changed.put(&target(name), &"other".into(), phases(n * 5));
        }
        for (n, name) in names.iter().enumerate() {
            if n % 7 == 0 {
                changed.remove(&target(name));
                continue;
            }
            for tally in [&mut changed, &mut fresh] {
                tally.put(&target(name), &name.as_str().into(), phases(n / 3));
            }
        }
        assert_eq!(changed.summarize(said), fresh.summarize(said));
        assert_eq!(changed.summarize(said).counts.total, 35, "34 of 40 are left, and one name is missing");
    }
}
