//! Aggregates one Integration over its clusters.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keys::TargetKey;
use super::managed::{ResourceSum, ResourceSummary, Sums};
use super::reason::Reason;
use super::roll_up::{MaxUnhealthy, roll_up};
use super::selector::Selector;
use super::verdict::Phase;
use super::version;

/// Upper bound of clusters listed in an Integration's status.
pub const LISTED_CLUSTERS: usize = 100;

/// Upper bound of versions listed in an Integration's status.
pub const LISTED_VERSIONS: usize = 20;

/// The targets that an Integration selects: the union of both fields.
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

/// One selected target, with the verdict on the tool there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster<'a> {
    pub name: &'a str,
    /// Name of the IntegrationTarget; `None` for a name in `targetClusters` that no target has.
    pub target: Option<&'a str>,
    pub state: ClusterState,
    /// Phase of the tool. A phase of another version counts as Unknown.
    pub phase: Phase,
    pub reason: Reason,
    pub message: Cow<'a, str>,
}

/// The state that one cluster counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterState {
    /// The tool is broken.
    Failed,
    /// ksit can't read the cluster, so the state of the tool is not known.
    Unreachable,
    Unknown,
    Degraded,
    Initializing,
    Paused,
    NotInstalled,
    Running,
}

impl ClusterState {
    /// Worst first.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::Unreachable,
        Self::Unknown,
        Self::Degraded,
        Self::Initializing,
        Self::Paused,
        Self::NotInstalled,
        Self::Running,
    ];

    pub fn of(phase: Phase, is_unreachable: bool) -> Self {
        match phase {
            Phase::Failed if is_unreachable => Self::Unreachable,
            Phase::Failed => Self::Failed,
            // A phase of another version may not be a healthy one.
            Phase::Unknown | Phase::Other(_) => Self::Unknown,
            Phase::Degraded => Self::Degraded,
            Phase::Initializing => Self::Initializing,
            Phase::Paused => Self::Paused,
            Phase::NotInstalled => Self::NotInstalled,
            Phase::Running => Self::Running,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Unreachable => "Unreachable",
            Self::Unknown => "Unknown",
            Self::Degraded => "Degraded",
            Self::Initializing => "Initializing",
            Self::Paused => "Paused",
            Self::NotInstalled => "NotInstalled",
            Self::Running => "Running",
        }
    }
}

/// Numbers of clusters by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u32,
    pub running: u32,
    pub degraded: u32,
    pub failed: u32,
    pub unreachable: u32,
    pub unknown: u32,
    pub initializing: u32,
    pub paused: u32,
    pub not_installed: u32,
}

impl Counts {
    pub fn add(&mut self, state: ClusterState) {
        self.total += 1;
        *self.of(state) += 1;
    }

    fn take(&mut self, state: ClusterState) {
        self.total -= 1;
        *self.of(state) -= 1;
    }

    fn of(&mut self, state: ClusterState) -> &mut u32 {
        match state {
            ClusterState::Running => &mut self.running,
            ClusterState::Degraded => &mut self.degraded,
            ClusterState::Failed => &mut self.failed,
            ClusterState::Unreachable => &mut self.unreachable,
            ClusterState::Unknown => &mut self.unknown,
            ClusterState::Initializing => &mut self.initializing,
            ClusterState::Paused => &mut self.paused,
            ClusterState::NotInstalled => &mut self.not_installed,
        }
    }

    pub fn by_state(mut self) -> [(ClusterState, u32); ClusterState::ALL.len()] {
        ClusterState::ALL.map(|state| (state, *self.of(state)))
    }

    /// Clusters in the denominator of "healthy/all".
    pub fn counting(&self) -> u32 {
        self.total - self.paused - self.not_installed
    }

    /// Clusters where the tool is broken or its state is not known.
    pub fn unhealthy(&self) -> u32 {
        self.failed + self.unreachable + self.unknown
    }
}

/// Number of clusters with a version of the tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionCount {
    /// The version.
    pub version: String,
    /// Clusters that run it.
    pub clusters: u32,
}

/// The content of an Integration's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary<'a> {
    pub phase: Phase,
    pub reason: Reason,
    pub message: String,
    pub counts: Counts,
    /// Number of clusters by version of the tool, newest first; at most [`LISTED_VERSIONS`].
    pub versions: Vec<VersionCount>,
    /// Managed objects of all clusters, by kind.
    pub resources: Vec<ResourceSum>,
    /// At most [`LISTED_CLUSTERS`], worst first, then by name. If there are more clusters, only those that have the
    /// tool and are not healthy.
    pub clusters: Vec<Cluster<'a>>,
}

impl Summary<'_> {
    /// For an Integration that is not checked at all, such as a disabled one.
    pub fn without_clusters(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            phase,
            reason,
            message: message.into(),
            counts: Counts::default(),
            versions: Vec::new(),
            resources: Vec::new(),
            clusters: Vec::new(),
        }
    }
}

/// Counts the clusters of an Integration incrementally: a summary of ten thousand takes as long as one of a hundred.
#[derive(Debug, Default)]
pub struct Tally {
    /// Targets by their name in [`Selection::cluster_names`].
    bearers: BTreeMap<String, BTreeSet<TargetKey>>,
    known: BTreeMap<TargetKey, Known>,
    /// The same targets, worst first, then by cluster name.
    ranked: BTreeSet<(ClusterState, Arc<str>, TargetKey)>,
    counts: Counts,
    /// Number of unreachable clusters by reason.
    causes: BTreeMap<Reason, u32>,
    /// Number of clusters by version of the tool.
    versions: BTreeMap<Arc<str>, u32>,
    resources: Sums,
}

/// The tool on one target.
#[derive(Clone, Copy, Debug)]
pub struct OnTarget<'a> {
    /// Phase of the tool.
    pub phase: Phase,
    /// Why ksit can't read the cluster, if it can't.
    pub unreachable: Option<Reason>,
    /// Version of the tool, if it is known.
    pub version: Option<&'a str>,
    /// Objects that it manages.
    pub resources: &'a [ResourceSummary],
}

#[derive(Debug, PartialEq, Eq)]
struct Known {
    state: ClusterState,
    /// Why ksit can't read the cluster, if it can't.
    cause: Option<Reason>,
    cluster_name: Arc<str>,
    /// The version of the tool there.
    version: Option<Arc<str>>,
    /// Objects that it manages there, without names.
    resources: Box<[ResourceSummary]>,
}

/// Counts one fewer. A key without any is not kept.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, u32>, key: Option<K>) {
    let Some(key) = key else { return };
    let left = counts.remove(&key).unwrap_or_default() - 1;
    counts.extend((left > 0).then_some((key, left)));
}

impl Tally {
    pub fn new(selection: &Selection) -> Self {
        let bearers = selection.cluster_names.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
        Self { bearers, ..Self::default() }
    }

    /// Adds or updates a selected target with the tool there.
    pub fn put(&mut self, target: &TargetKey, cluster_name: &Arc<str>, tool: OnTarget<'_>) {
        let OnTarget { phase, unreachable, version, resources } = tool;
        let state = ClusterState::of(phase, unreachable.is_some());
        let cause = unreachable.filter(|_| state == ClusterState::Unreachable);
        let version = version.map(|version| {
            let shared = self.versions.get_key_value(version).map(|(shared, _)| shared.clone());
            shared.unwrap_or_else(|| version.into())
        });
        let resources = resources.iter().map(ResourceSummary::without_names).collect();
        let known = Known { state, cause, cluster_name: cluster_name.clone(), version, resources };
        if self.known.get(target) == Some(&known) {
            return;
        }
        self.remove(target);
        self.ranked.insert((state, cluster_name.clone(), target.clone()));
        self.counts.add(state);
        if let Some(cause) = cause {
            *self.causes.entry(cause).or_default() += 1;
        }
        if let Some(version) = &known.version {
            *self.versions.entry(version.clone()).or_default() += 1;
        }
        self.resources.add(&known.resources);
        self.known.insert(target.clone(), known);
        if let Some(bearers) = self.bearers.get_mut(&**cluster_name) {
            bearers.insert(target.clone());
        }
    }

    /// Removes a target that is not selected, or no longer.
    pub fn remove(&mut self, target: &TargetKey) {
        let Some(known) = self.known.remove(target) else { return };
        let Known { state, cause, cluster_name, version, resources } = known;
        self.resources.take(&resources);
        self.counts.take(state);
        take_one(&mut self.causes, cause);
        take_one(&mut self.versions, version);
        if let Some(bearers) = self.bearers.get_mut(&*cluster_name) {
            bearers.remove(target);
        }
        self.ranked.remove(&(state, cluster_name, target.clone()));
    }

    /// Summarizes the clusters, and reports names that no target or several targets have. `said` gives the verdict on
    /// the tool; it is called for listed targets only.
    pub fn summarize<'a>(
        &'a self,
        max_unhealthy: MaxUnhealthy,
        said: impl Fn(&TargetKey) -> (Phase, Reason, Cow<'a, str>),
    ) -> Summary<'a> {
        let faults = self.faults();
        let mut counts = self.counts;
        faults.iter().for_each(|fault| counts.add(fault.state));
        if counts.total == 0 {
            return Summary::without_clusters(
                Phase::Failed,
                Reason::NoTargets,
                "no IntegrationTarget in this namespace matches targetClusters or targetSelector",
            );
        }
        let is_there = |reason: &Reason| faults.iter().any(|fault| fault.reason == *reason);
        let of_names = [Reason::TargetAmbiguous, Reason::TargetNotFound].into_iter().find(is_there);
        // Listing the first few of thousands of healthy clusters would cost storage without any benefit.
        let is_listed = |state| {
            counts.total as usize <= LISTED_CLUSTERS
                || !matches!(state, ClusterState::Running | ClusterState::NotInstalled)
        };
        let known = self.ranked.iter().take_while(|(state, ..)| is_listed(*state)).take(LISTED_CLUSTERS);
        let known = known.map(|(state, name, target)| {
            let (phase, reason, message) = said(target);
            Cluster { name, target: Some(target.name()), state: *state, phase, reason, message }
        });
        let mut clusters: Vec<Cluster> = known.chain(faults).collect();
        clusters.sort_unstable_by(|a, b| (a.state, a.name, a.target).cmp(&(b.state, b.name, b.target)));
        clusters.truncate(LISTED_CLUSTERS);
        let (phase, reason, message) = roll_up(&counts, &self.causes, &clusters, max_unhealthy);
        let reason = of_names.filter(|_| counts.unhealthy() > 0).unwrap_or(reason);
        Summary { phase, reason, message, counts, versions: self.versions(), resources: self.resources.all(), clusters }
    }

    /// Newest first. If there are too many, the oldest of them is left out.
    pub(crate) fn versions(&self) -> Vec<VersionCount> {
        let count =
            |(version, clusters): (&Arc<str>, &u32)| VersionCount { version: version.to_string(), clusters: *clusters };
        let mut versions: Vec<VersionCount> = self.versions.iter().map(count).collect();
        versions.sort_by(|one, other| version::order(&other.version, &one.version));
        versions.truncate(LISTED_VERSIONS);
        versions
    }

    fn faults(&self) -> Vec<Cluster<'_>> {
        let fault = |name, reason, message: String| Cluster {
            name,
            target: None,
            state: ClusterState::Failed,
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

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
