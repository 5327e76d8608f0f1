//! The series of each cluster and of each tool on it, as of the statuses.

use jiff::Timestamp;

use super::fleet::{Fleet, Target};
use crate::api::{IntegrationResult, IntegrationTargetStatus, convert};
use crate::domain::desired::DesiredTarget;
use crate::domain::keys::TargetKey;
use crate::domain::verdict::Phase;
use crate::observability::{
    Samples, TARGET_CREDENTIAL_EXPIRING, TARGET_HEALTHY, TARGET_LABELS, TARGET_REACHABLE, TARGET_SINCE, TOOL_HEALTHY,
    TOOL_SINCE, TargetMetrics,
};

/// Tools on clusters that all have series by default: about 3 MB a scrape. Beyond, those that are not healthy have.
const MOST: usize = 10_000;

impl Fleet {
    /// In the text format of Prometheus.
    pub(super) fn series(&mut self) -> String {
        let wanted = self.context.target_metrics;
        if wanted == TargetMetrics::Off {
            return String::new();
        }
        let tools: usize = self.targets.values().filter_map(Target::summary).map(|s| s.integrations.len()).sum();
        let is_limited = wanted == TargetMetrics::Auto && tools.max(self.targets.len()) > MOST;
        self.tell_of_limit(is_limited, tools);
        let mut series = Series { samples: Samples::default(), is_limited, left: MOST };
        for (key, target) in &self.targets {
            if let (Ok(desired), Some(status)) = (&target.desired, target.summary()) {
                series.add(key, desired, status);
            }
        }
        series.samples.text()
    }

    fn tell_of_limit(&mut self, is_limited: bool, tools: usize) {
        if is_limited && !self.is_limited {
            tracing::warn!(
                tools,
                most = MOST,
                "metrics of clusters and tools are left out while these are healthy; --target-metrics=on shows all"
            );
        }
        self.is_limited = is_limited;
        self.context.metrics.target_metrics_limited.set_count(u32::from(is_limited));
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
    fn add(&mut self, key: &TargetKey, desired: &DesiredTarget, status: &IntegrationTargetStatus) {
        let names = [key.namespace(), key.name(), &*desired.cluster_name];
        if status.condition(convert::CREDENTIAL_EXPIRING).is_some() {
            self.samples.add(&TARGET_CREDENTIAL_EXPIRING, &names, 1);
        }
        let Some(phase) = status.phase.as_deref() else { return };
        let Some(is_healthy) = is_healthy(phase) else { return };
        if self.is_limited && (phase == Phase::Running.as_str() || self.left == 0) {
            return;
        }
        let reachable = status.condition("Reachable").map(|reachable| reachable.status.as_str());
        if let Some(is_reachable) = reachable.filter(|status| *status != "Unknown").map(|status| status == "True") {
            self.samples.add(&TARGET_REACHABLE, &names, i64::from(is_reachable));
        }
        self.samples.add(&TARGET_HEALTHY, &names, i64::from(is_healthy));
        if !desired.labels.is_empty() {
            self.samples.add_labelled(&TARGET_LABELS, &names[..2], &desired.labels, 1);
        }
        let reason = status.condition("Ready").map(|ready| ready.reason.clone()).unwrap_or_default();
        let reason = convert::unreachable_cause(status).map_or(reason, |cause| cause.to_string());
        if let Some(since) = onset(phase, status.last_transition_time.as_ref()) {
            self.samples.add(&TARGET_SINCE, &[&names[..], &[phase, &reason]].concat(), since);
        }
        self.left = self.left.saturating_sub(1);
        if reachable == Some("True") {
            status.integrations.iter().for_each(|tool| self.add_tool(names, tool));
        }
    }

    fn add_tool(&mut self, names: Names<'_>, tool: &IntegrationResult) {
        let IntegrationResult { name, type_, phase, reason, .. } = tool;
        let Some(is_healthy) = is_healthy(phase) else { return };
        if self.is_limited && (phase == Phase::Running.as_str() || self.left == 0) {
            return;
        }
        let names = [&names[..], &[name.as_str(), type_]].concat();
        self.samples.add(&TOOL_HEALTHY, &names, i64::from(is_healthy));
        if let Some(since) = onset(phase, tool.last_transition_time.as_ref()) {
            self.samples.add(&TOOL_SINCE, &[&names[..], &[phase, reason]].concat(), since);
        }
        self.left = self.left.saturating_sub(1);
    }
}

/// A text that is no name of a phase is not healthy either.
fn is_healthy(phase: &str) -> Option<bool> {
    Phase::read(phase).map_or(Some(false), Phase::is_healthy)
}

/// When it became what it is, unless that is Running; in seconds since 1970.
fn onset(phase: &str, since: Option<&String>) -> Option<i64> {
    let since = since.filter(|_| phase != Phase::Running.as_str())?;
    since.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::super::test_kit::fleet_of;
    use super::*;

    fn lines(text: &str, family: &str) -> usize {
        text.lines().filter(|line| line.starts_with(&format!("{family}{{"))).count()
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_healthy_ones_have_no_series() {
        let mut fleet = fleet_of(MOST + 2, 3);
        let text = fleet.series();
        assert_eq!((lines(&text, "ksit_target_healthy"), lines(&text, "ksit_tool_healthy")), (3, 3), "{text}");
        assert!(fleet.context.metrics.render().unwrap().contains("ksit_target_metrics_limited 1\n"));
        fleet.context.target_metrics = TargetMetrics::On;
        let all = fleet.series();
        assert_eq!(
            (lines(&all, "ksit_target_healthy"), lines(&all, "ksit_tool_unhealthy_since_timestamp_seconds")),
            (MOST + 2, 3)
        );
        assert!(fleet.context.metrics.render().unwrap().contains("ksit_target_metrics_limited 0\n"));
        fleet.context.target_metrics = TargetMetrics::Off;
        assert_eq!(fleet.series(), "");
    }
}
