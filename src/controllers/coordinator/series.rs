//! The series of each cluster and of each tool on it, as of the statuses.

use jiff::Timestamp;

use crate::domain::desired::DesiredTarget;
use crate::domain::keys::TargetKey;
use crate::domain::maintenance::Maintenance;
use crate::domain::managed::ResourceSummary;
use crate::domain::reason::Reason;
use crate::domain::status::{CREDENTIAL_EXPIRING, REACHABLE, READY, TargetStatus, ToolStatus, Truth};
use crate::domain::verdict::Phase;
use crate::observability::{
    Metrics, RESOURCES_FAILING, Samples, TARGET_CREDENTIAL_EXPIRING, TARGET_HEALTHY, TARGET_LABELS, TARGET_MAINTENANCE,
    TARGET_REACHABLE, TARGET_SINCE, TOOL_HEALTHY, TOOL_SINCE, TargetMetrics,
};

/// Tools on clusters that all have series by default: about 3 MB a scrape. Beyond, those that are not healthy have.
const MOST: usize = 10_000;

/// Writes the series of clusters and tools.
pub(super) struct SeriesWriter {
    wanted: TargetMetrics,
    /// Series of healthy clusters are left out.
    is_limited: bool,
}

impl SeriesWriter {
    pub(super) fn new(wanted: TargetMetrics) -> Self {
        Self { wanted, is_limited: false }
    }

    /// In the text format of Prometheus.
    pub(super) fn text<'a>(
        &mut self,
        targets: impl Iterator<Item = (&'a TargetKey, &'a DesiredTarget, &'a TargetStatus)>,
        metrics: &Metrics,
    ) -> String {
        if self.wanted == TargetMetrics::Off {
            return String::new();
        }
        let targets: Vec<_> = targets.collect();
        let tools: usize = targets.iter().map(|(_, _, status)| status.tools.len()).sum();
        let is_limited = self.wanted == TargetMetrics::Auto && tools.max(targets.len()) > MOST;
        self.show_limit(is_limited, tools, metrics);
        let mut series = Series { samples: Samples::default(), is_limited, left: MOST };
        targets.into_iter().for_each(|(key, desired, status)| series.add(key, desired, status));
        series.samples.text()
    }

    fn show_limit(&mut self, is_limited: bool, tools: usize, metrics: &Metrics) {
        if is_limited && !self.is_limited {
            tracing::warn!(
                tools,
                most = MOST,
                "metrics of clusters and tools are left out while these are healthy; --target-metrics=on shows all"
            );
        }
        self.is_limited = is_limited;
        metrics.target_metrics_limited.set_count(u32::from(is_limited));
    }
}

struct Series {
    samples: Samples,
    /// Healthy clusters and tools have no series, and others so many.
    is_limited: bool,
    left: usize,
}

/// Namespace and name of a target, and the name of its cluster.
type Names<'a> = [&'a str; 3];

impl Series {
    fn add(&mut self, key: &TargetKey, desired: &DesiredTarget, status: &TargetStatus) {
        let names = [key.namespace(), key.name(), &*desired.cluster_name];
        if status.condition(CREDENTIAL_EXPIRING).is_some() {
            self.samples.add(&TARGET_CREDENTIAL_EXPIRING, &names, 1);
        }
        if let Some(Maintenance { integrations, .. }) = &status.maintenance {
            let tools = if integrations.is_empty() { &[String::new()][..] } else { integrations };
            for tool in tools {
                self.samples.add(&TARGET_MAINTENANCE, &[&names[..], &[tool.as_str()]].concat(), 1);
            }
        }
        let Some(phase) = status.phase else { return };
        let Some(is_healthy) = phase.is_healthy() else { return };
        status.tools.iter().for_each(|tool| self.add_failing_resources(names, tool));
        if self.is_left_out(phase) {
            return;
        }
        let reachable = status.condition(REACHABLE).map(|reachable| reachable.truth);
        if let Some(truth) = reachable.filter(|truth| *truth != Truth::Unknown) {
            self.samples.add(&TARGET_REACHABLE, &names, i64::from(truth == Truth::True));
        }
        self.samples.add(&TARGET_HEALTHY, &names, i64::from(is_healthy));
        if !desired.labels.is_empty() {
            self.samples.add_labelled(&TARGET_LABELS, &names[..2], &desired.labels, 1);
        }
        let reason = status.unreachable_cause().or_else(|| status.condition(READY)?.reason);
        if let Some(since) = unhealthy_since(phase, status.since) {
            let reason = reason.map_or("", Reason::as_str);
            self.samples.add(&TARGET_SINCE, &[&names[..], &[phase.as_str(), reason]].concat(), since);
        }
        self.left = self.left.saturating_sub(1);
        if reachable == Some(Truth::True) {
            status.tools.iter().for_each(|tool| self.add_tool(names, tool));
        }
    }

    fn add_tool(&mut self, names: Names<'_>, tool: &ToolStatus) {
        let ToolStatus { name, type_name, phase, reason, since, .. } = tool;
        let Some(phase) = *phase else { return };
        let Some(is_healthy) = phase.is_healthy() else { return };
        if self.is_left_out(phase) {
            return;
        }
        let names = [&names[..], &[name.as_str(), type_name]].concat();
        self.samples.add(&TOOL_HEALTHY, &names, i64::from(is_healthy));
        if let Some(since) = unhealthy_since(phase, *since) {
            let reason = reason.map_or("", Reason::as_str);
            self.samples.add(&TOOL_SINCE, &[&names[..], &[phase.as_str(), reason]].concat(), since);
        }
        self.left = self.left.saturating_sub(1);
    }

    /// Also of a tool that is healthy itself: failing objects may be none of its faults.
    fn add_failing_resources(&mut self, names: Names<'_>, tool: &ToolStatus) {
        for ResourceSummary { kind, counts, .. } in tool.resources.iter().filter(|summary| summary.counts.failing > 0) {
            let names = [&names[..], &[tool.name.as_str(), &tool.type_name, kind]].concat();
            self.samples.add(&RESOURCES_FAILING, &names, i64::from(counts.failing));
        }
    }

    fn is_left_out(&self, phase: Phase) -> bool {
        self.is_limited && (phase == Phase::Running || self.left == 0)
    }
}

/// Start of the phase in seconds since 1970, unless it is Running.
fn unhealthy_since(phase: Phase, since: Option<Timestamp>) -> Option<i64> {
    since.filter(|_| phase != Phase::Running).map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::status::Condition;

    fn lines(text: &str, family: &str) -> usize {
        text.lines().filter(|line| line.starts_with(&format!("{family}{{"))).count()
    }

    fn target(number: usize, phase: Phase) -> (TargetKey, DesiredTarget, TargetStatus) {
        let (key, since) = (TargetKey::new("fleet", format!("n{number}")), Some(Timestamp::UNIX_EPOCH));
        let desired = DesiredTarget {
            key: key.clone(),
            cluster_name: format!("n{number}").into(),
            labels: BTreeMap::new(),
            secret_name: String::new(),
            secret_key: None,
            access: None,
            paused: false,
            paused_until: None,
            generation: 1,
        };
        let reachable = Condition {
            kind: REACHABLE.to_owned(),
            truth: Truth::True,
            reason: Some(Reason::Connected),
            message: String::new(),
            since: Timestamp::UNIX_EPOCH,
            generation: None,
        };
        let tool = ToolStatus {
            name: "flux".to_owned(),
            type_name: "flux".to_owned(),
            phase: Some(phase),
            reason: Some(Reason::Healthy),
            message: String::new(),
            since,
            version: None,
            components: Vec::new(),
            healthy_components: Vec::new(),
            resources: Vec::new(),
        };
        let (conditions, tools) = (vec![reachable], vec![tool]);
        (key, desired, TargetStatus { phase: Some(phase), since, conditions, tools, ..TargetStatus::default() })
    }

    #[test]
    fn healthy_ones_have_no_series_beyond_the_limit() {
        let fleet: Vec<_> = (0..MOST + 2)
            .map(|number| target(number, if number < 3 { Phase::Failed } else { Phase::Running }))
            .collect();
        let metrics = Metrics::new().unwrap();
        let text = |writer: &mut SeriesWriter| {
            writer.text(fleet.iter().map(|(key, desired, status)| (key, desired, status)), &metrics)
        };
        let auto = text(&mut SeriesWriter::new(TargetMetrics::Auto));
        assert_eq!((lines(&auto, "ksit_target_healthy"), lines(&auto, "ksit_tool_healthy")), (3, 3), "{auto}");
        assert!(metrics.render().unwrap().contains("ksit_target_metrics_limited 1\n"));
        let all = text(&mut SeriesWriter::new(TargetMetrics::On));
        let series = ["ksit_target_healthy", "ksit_tool_unhealthy_since_timestamp_seconds"];
        assert_eq!(series.map(|family| lines(&all, family)), [MOST + 2, 3]);
        assert!(metrics.render().unwrap().contains("ksit_target_metrics_limited 0\n"));
        assert_eq!(text(&mut SeriesWriter::new(TargetMetrics::Off)), "");
    }
}
