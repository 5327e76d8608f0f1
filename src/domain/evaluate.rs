//! Evaluates the answers of a target to the verdict on one tool. All tools share this evaluator.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::component::{Component, ComponentKind, Presence};
use super::expected::{ComponentName, Expected, Profile};
use super::judge::{Fault, Finding, judge, namespace_is_missing, terminating_namespaces, versions_of};
use super::managed;
use super::reason::Reason;
use super::snapshot::{Query, Snapshot};
use super::verdict::{ComponentState, Phase, ToolVerdict};
use super::version;

pub use super::judge::Clock;

/// The phase of a cluster without any component of the tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAbsent {
    /// It should be installed there.
    #[default]
    Failed,
    /// It need not be.
    NotInstalled,
}

/// Upper bound of failing components named in a verdict's message; the observations have all.
const NAMED_IN_MESSAGE: usize = 3;

/// A verdict, and what may change it.
#[derive(Debug)]
pub struct Evaluated {
    /// The verdict.
    pub verdict: ToolVerdict,
    /// Time at which the same answers would get another one.
    pub until: Option<Timestamp>,
    /// Queries whose answers would tell why something is broken.
    pub why: BTreeSet<Query>,
}

/// The verdict on one tool from one round's answers.
pub fn evaluate(expected: &Expected, snapshot: &Snapshot, when_absent: WhenAbsent, clock: &Clock) -> Evaluated {
    let mut all = judge_all(&expected.components, snapshot, clock);
    if when_absent == WhenAbsent::NotInstalled && !is_installed(&all) {
        return Evaluated { verdict: not_installed(&all), until: None, why: BTreeSet::new() };
    }
    let profile = expected.profiles.iter().find(|profile| matches_profile(profile, &all));
    if let Some(profile) = profile {
        all.retain(|(component, _)| !profile.lacks(component));
    }
    let versions = versions(expected, snapshot);
    let until = all.iter().filter_map(|(_, finding)| finding.until).min();
    let mut faults: Vec<Fault> = all.iter().flat_map(|(_, finding)| finding.faults.clone()).collect();
    faults.extend(namespace_faults(&expected.components, snapshot));
    faults.extend(version_fault(expected, &versions));
    let resources = managed::summaries(&expected.resources, snapshot);
    faults.extend(managed::faults(&expected.resources, &resources));
    faults.sort_by_key(severity);
    let summary = summary(&all, profile);
    let (phase, reason, message) = match faults.first() {
        Some(Fault { reason: Reason::NamespaceMissing, .. }) => {
            (Phase::Failed, Reason::NamespaceMissing, missing_namespaces(&expected.components, snapshot))
        }
        Some(first) => (first.phase, first.reason, explain(&summary, &faults) + &hint(&all)),
        None => (Phase::Running, Reason::Healthy, with_notes(summary, &all, &versions)),
    };
    let why = all.iter().flat_map(|(_, finding)| finding.why.iter().cloned()).collect();
    let observations = all.into_iter().flat_map(|(_, finding)| finding.observations).collect();
    let version = versions.into_iter().next_back();
    Evaluated { verdict: ToolVerdict { phase, reason, message, observations, version, resources }, until, why }
}

/// The versions of the component that tells the tool's, oldest first.
fn versions(expected: &Expected, snapshot: &Snapshot) -> Vec<String> {
    let mut candidates = expected.components.iter().filter(|component| component.kind.is_workload());
    let telling = match &expected.version_of {
        Some(name) => candidates.find(|component| component.name == *name),
        None => candidates.find(|component| component.presence == Presence::Required),
    };
    let mut versions = telling.map(|component| versions_of(component, snapshot)).unwrap_or_default();
    versions.sort_by(|one, other| version::order(one, other));
    versions.dedup();
    versions
}

/// A version outside of the wanted range; one that is not known may be.
fn version_fault(expected: &Expected, versions: &[String]) -> Option<Fault> {
    let range = expected.versions.as_ref()?;
    let message = match versions.iter().find(|version| range.contains(version) != Some(true)) {
        Some(outside) => format!("version {outside} is not in {range}, which spec.versions asks for"),
        None if versions.is_empty() => {
            format!("its version is not known, and spec.versions asks for {range}: label it app.kubernetes.io/version")
        }
        None => return None,
    };
    Some(Fault { phase: Phase::Degraded, reason: Reason::VersionOutOfRange, message })
}

type Judged<'a> = Vec<(&'a Component, Finding)>;

/// Judges workloads first: Services and webhooks are not in use while the Pods behind them are not.
fn judge_all<'a>(components: &'a [Component], snapshot: &Snapshot, clock: &Clock) -> Judged<'a> {
    let nothing = BTreeSet::new();
    let mut all: Judged = components
        .iter()
        .map(|component| match component.kind.is_workload() {
            true => (component, judge(component, snapshot, &nothing, clock)),
            false => (component, Finding::default()),
        })
        .collect();
    let is_idle = |component: &Component, finding: &Finding| {
        component.kind.is_workload() && component.presence == Presence::Optional && !finding.is_in_use()
    };
    let idle = all.iter().filter(|(component, finding)| is_idle(component, finding));
    let idle: BTreeSet<&str> = idle.map(|(component, _)| component.name.as_str()).collect();
    for (component, finding) in all.iter_mut().filter(|(component, _)| !component.kind.is_workload()) {
        *finding = judge(component, snapshot, &idle, clock);
    }
    all
}

/// Whether a component that proves the tool's presence exists, or may exist where ksit may not look.
fn is_installed(all: &Judged) -> bool {
    let has_anchors = all.iter().any(|(component, _)| component.anchor);
    // CRDs outlive the tool that brought them: Helm leaves them behind.
    let proves = |component: &Component| match has_anchors {
        true => component.anchor,
        false => component.kind != ComponentKind::Crd,
    };
    let exists = |finding: &Finding| finding.is_present() || finding.is_unseen();
    all.iter().any(|(component, finding)| proves(component) && exists(finding))
}

/// CRDs may be left over, and other tools bring the same accessories.
fn not_installed(all: &Judged) -> ToolVerdict {
    let is_part = |component: &Component| component.kind != ComponentKind::Crd;
    let there = all.iter().filter(|(component, finding)| is_part(component) && finding.is_present());
    let there: BTreeSet<&str> = there.map(|(component, _)| component.name.as_str()).collect();
    let (reason, message) = match there.is_empty() {
        true => (Reason::NotInstalled, "the cluster has none of its components".to_owned()),
        false => {
            let names = there.into_iter().take(NAMED_IN_MESSAGE).collect::<Vec<_>>().join(", ");
            (Reason::AccessoriesOnly, format!("the cluster has none of its main components, only {names}"))
        }
    };
    ToolVerdict::without_observations(Phase::NotInstalled, reason, message)
}

/// Whether something required is absent, and the profile explains all of that.
fn matches_profile(profile: &Profile, all: &Judged) -> bool {
    let is_absent = |finding: &Finding| !finding.is_present() && !finding.is_unseen();
    let lacks =
        |(component, finding): &&(&Component, Finding)| component.presence == Presence::Required && is_absent(finding);
    let mut missing = all.iter().filter(lacks).peekable();
    let all_of = |names: &[ComponentName], test: &dyn Fn(&Finding) -> bool| {
        let is_named = |component: &Component| names.iter().any(|name| name.means(component));
        all.iter().filter(|(component, _)| is_named(component)).all(|(_, finding)| test(finding))
    };
    missing.peek().is_some()
        && missing.all(|(component, _)| profile.lacks(component))
        && all_of(&profile.without, &is_absent)
        && all_of(&profile.with, &Finding::is_present)
}

fn namespace_faults(components: &[Component], snapshot: &Snapshot) -> Vec<Fault> {
    let is_used = |namespace: &&str| components.iter().any(|component| component.namespace == **namespace);
    let fault = |namespace: &str| Fault {
        phase: Phase::Failed,
        reason: Reason::NamespaceTerminating,
        message: format!("namespace {namespace} is being deleted: nothing can be created in it"),
    };
    terminating_namespaces(snapshot).filter(is_used).map(fault).collect()
}

fn severity(fault: &Fault) -> (Phase, u8) {
    let rank = match fault.reason {
        Reason::NamespaceMissing => 0,
        Reason::NamespaceTerminating => 1,
        Reason::ComponentAbsent => 2,
        Reason::ComponentNotReady => 3,
        _ => 4,
    };
    // Failed comes before Degraded.
    (fault.phase, rank)
}

fn summary(all: &Judged, profile: Option<&Profile>) -> String {
    let used: Vec<&Finding> = all.iter().map(|(_, finding)| finding).filter(|finding| finding.is_in_use()).collect();
    let healthy = used.iter().filter(|finding| finding.faults.is_empty()).count();
    let profile = profile.map(|profile| format!(" (profile {})", profile.name)).unwrap_or_default();
    format!("{healthy}/{} components healthy{profile}", used.len())
}

fn missing_namespaces(components: &[Component], snapshot: &Snapshot) -> String {
    let names: BTreeSet<&str> = components
        .iter()
        .map(|component| component.namespace.as_str())
        .filter(|namespace| namespace_is_missing(namespace, snapshot))
        .collect();
    let names = names.into_iter().collect::<Vec<_>>().join(" and ");
    format!("namespace {names} does not exist; install the tool, or set config.namespace to where it is")
}

fn explain(summary: &str, faults: &[Fault]) -> String {
    let named: Vec<&str> = faults.iter().take(NAMED_IN_MESSAGE).map(|fault| fault.message.as_str()).collect();
    let more = match faults.len().saturating_sub(NAMED_IN_MESSAGE) {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    format!("{summary}: {}{more}", named.join("; "))
}

/// How to leave out what is absent on purpose.
fn hint(all: &Judged) -> String {
    let is_absent = |finding: &Finding| finding.faults.iter().any(|fault| fault.reason == Reason::ComponentAbsent);
    let absent: BTreeSet<&str> =
        all.iter().filter(|(_, finding)| is_absent(finding)).map(|(component, _)| component.name.as_str()).collect();
    match absent.len() {
        0 => String::new(),
        1..=NAMED_IN_MESSAGE => {
            let names = absent.into_iter().collect::<Vec<_>>().join(",");
            format!(" (left out on purpose? set config.ignore to {names})")
        }
        _ => " (installed elsewhere? set config.namespace; left out on purpose? config.ignore)".to_owned(),
    }
}

fn with_notes(summary: String, all: &Judged, versions: &[String]) -> String {
    let upgrading = match versions {
        [oldest, .., newest] => Some(format!("upgrading from {oldest} to {newest}")),
        _ => None,
    };
    let notes = all
        .iter()
        .flat_map(|(_, finding)| &finding.observations)
        .filter(|observation| matches!(observation.state, ComponentState::Progressing | ComponentState::NotSeen))
        .filter_map(|observation| {
            observation.message.as_ref().map(|note| format!("{} {} {note}", observation.kind, observation.name))
        })
        .take(NAMED_IN_MESSAGE);
    let notes: Vec<String> = upgrading.into_iter().chain(notes).collect();
    if notes.is_empty() { summary } else { format!("{summary}; {}", notes.join("; ")) }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
