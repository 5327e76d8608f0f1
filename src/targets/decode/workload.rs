//! Decodes Deployments, StatefulSets and DaemonSets.

use jiff::Timestamp;

use super::identity;
use crate::domain::object_names::{is_label_key, is_label_value};
use crate::domain::snapshot::{Rollout, Seen, WorkloadConditions, WorkloadState};
use crate::targets::objects::{BadPage, Object};
use crate::targets::parsed::ParsedWorkload;
use crate::targets::pool::Pools;
use crate::targets::text::{Labels, Text};
use crate::targets::wire::{self, Count, NumberOrText, WorkloadSpec, WorkloadStatus};

/// Desired, ready and updated Pods.
type Counts = (u32, u32, u32);

pub(super) fn deployment(spec: &WorkloadSpec, status: &WorkloadStatus) -> Counts {
    (count_or(spec.replicas, 1), count_or(status.available_replicas, 0), count_or(status.updated_replicas, 0))
}

/// Servers before 1.22 don't have `availableReplicas` here.
pub(super) fn stateful_set(spec: &WorkloadSpec, status: &WorkloadStatus) -> Counts {
    let ready = status.available_replicas.or(status.ready_replicas);
    (count_or(spec.replicas, 1), count_or(ready, 0), count_or(status.updated_replicas, 0))
}

pub(super) fn daemon_set(_: &WorkloadSpec, status: &WorkloadStatus) -> Counts {
    (
        count_or(status.desired_number_scheduled, 0),
        count_or(status.number_available, 0),
        count_or(status.updated_number_scheduled, 0),
    )
}

fn count_or(count: Option<Count>, otherwise: u32) -> u32 {
    count.map_or(otherwise, |count| count.0)
}

pub(super) fn workload(
    counts: fn(&WorkloadSpec, &WorkloadStatus) -> Counts,
    item: wire::Workload,
    pools: &Pools,
) -> Result<Object, BadPage> {
    let mut meta = item.metadata.unwrap_or_default();
    let (name, labels) = identity(&mut meta)?;
    let (spec, status) = (item.spec.unwrap_or_default(), item.status.unwrap_or_default());
    let (desired, ready, updated) = counts(&spec, &status);
    let state = WorkloadState {
        desired,
        ready,
        updated,
        max_unavailable: max_unavailable(&spec, desired),
        seen: seen(&meta, &status),
        rollout: rollout(&spec),
        conditions: conditions(&status),
    };
    let pods = if ready < desired { selector(spec.selector.as_ref()) } else { None };
    let image = spec.template.and_then(|template| template.image);
    let version = version(&labels, image.as_deref()).map(|version| Text::from(version).into_owned());
    let version = version.as_deref().map(Text::from);
    Ok(Object::Workload(pools.workloads.intern(ParsedWorkload { name, labels, state, version, pods })))
}

fn seen(meta: &wire::Meta, status: &WorkloadStatus) -> Seen {
    let generation = meta.generation.unwrap_or_default();
    match status.observed_generation.unwrap_or_default() {
        observed if observed >= generation => Seen::Latest,
        0 => {
            let created = meta.creation_timestamp.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
            created.map_or(Seen::Earlier, |created| Seen::Never(created.as_second()))
        }
        _ => Seen::Earlier,
    }
}

fn rollout(spec: &WorkloadSpec) -> Rollout {
    let strategy = spec.update_strategy.as_ref();
    let partition = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition);
    if spec.paused == Some(true) {
        Rollout::Paused
    } else if strategy.and_then(|strategy| strategy.kind.as_deref()) == Some("OnDelete") {
        Rollout::OnDelete
    } else if partition.is_some_and(|partition| partition.0 > 0) {
        Rollout::Partition
    } else {
        Rollout::Automatic
    }
}

/// Pods of a DaemonSet that its rollout may take down: 1 by default, a percentage is rounded up.
fn max_unavailable(spec: &WorkloadSpec, desired: u32) -> u32 {
    let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    match rolling.and_then(|rolling| rolling.max_unavailable.as_ref()) {
        None => 1,
        Some(NumberOrText::Number(count)) => count.0,
        Some(NumberOrText::Text(text)) => {
            let percent: u64 = text.strip_suffix('%').and_then(|percent| percent.parse().ok()).unwrap_or_default();
            u32::try_from((u64::from(desired) * percent.min(100)).div_ceil(100)).unwrap_or(u32::MAX)
        }
    }
}

fn conditions(status: &WorkloadStatus) -> WorkloadConditions {
    let truth = |kind: &str| {
        let found = status.conditions.list.iter().find(|condition| condition.kind.as_deref() == Some(kind));
        match found.and_then(|condition| condition.status.as_deref()) {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        }
    };
    WorkloadConditions {
        available: truth("Available"),
        stalled: truth("Progressing") == Some(false),
        replica_failure: truth("ReplicaFailure") == Some(true),
    }
}

/// The selector as in a URL. `None` for one that has more than labels, and for one that no API server accepts.
fn selector(selector: Option<&wire::Selector>) -> Option<String> {
    let selector = selector.filter(|selector| selector.match_expressions.is_none())?;
    let labels = selector.match_labels.as_ref()?;
    let is_valid = |(key, value): (&str, &str)| is_label_key(key) && is_label_value(value);
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    (!pairs.is_empty() && labels.iter().all(is_valid)).then(|| pairs.join(","))
}

/// The version that a workload runs: the label `app.kubernetes.io/version`, else the tag of its first container's image,
/// else the suffix of the label `helm.sh/chart`. A leading `v` doesn't count.
fn version<'a>(labels: &'a Labels<'_>, image: Option<&'a str>) -> Option<&'a str> {
    let label = |key: &str| labels.get(key).map(|value| &**value);
    let chart = || chart_version(label("helm.sh/chart")?);
    let found = label("app.kubernetes.io/version").or_else(|| tag(image?)).or_else(chart)?;
    let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let version = found.strip_prefix('v').filter(|rest| is_number(rest)).unwrap_or(found);
    (!version.is_empty() && is_label_value(version)).then_some(version)
}

/// `7.8.28-rc1` of `argo-cd-7.8.28-rc1`: a chart's version has three numbers.
fn chart_version(chart: &str) -> Option<&str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = |text: &&str| match text.splitn(3, '.').collect::<Vec<_>>()[..] {
        [major, minor, patch] => {
            is_number(major) && is_number(minor) && patch.starts_with(|first: char| first.is_ascii_digit())
        }
        _ => false,
    };
    chart.match_indices('-').map(|(place, _)| &chart[place + 1..]).find(is_version)
}

/// `2.13.1` of `quay.io:443/argoproj/argocd:2.13.1@sha256:…`.
fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    let last = name.rsplit('/').next()?;
    last.split_once(':').map(|(_, tag)| tag)
}
