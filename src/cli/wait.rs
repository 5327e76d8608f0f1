//! `ksit wait`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use tokio::time::sleep;

use super::clusters::targets;
use super::hub::HubFlags;
use super::output::{print, print_error};
use super::{CliError, duration};
use crate::api::IntegrationTarget;
use crate::domain::escape::escape;

/// Time between two looks at the hub.
const AGAIN: Duration = Duration::from_secs(2);

/// Names in a message.
const MAX_NAMES: usize = 5;

/// Wait until clusters are in a state, for example between the waves of a rollout.
///
/// Exits with 0 once all of them are, 1 after the timeout, 2 if there are none or the hub can't be
/// read.
///
/// Examples:
///   ksit wait --for healthy -l wave=1 --timeout 10m
///   ksit wait --for reachable berlin
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Names of IntegrationTargets; default: all with the labels.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// State to wait for.
    #[arg(long = "for", value_enum)]
    state: State,
    /// Clusters with these labels, such as wave=1.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Clusters of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Time after which to give up.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
    #[command(flatten)]
    hub: HubFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum State {
    /// Every tool works: Running or Degraded
    Healthy,
    /// Every tool works, and none needs attention
    Running,
    /// ksit can read the cluster
    Reachable,
}

impl State {
    fn is_met(self, target: &IntegrationTarget) -> bool {
        let Some(status) = &target.status else { return false };
        let is_true = |kind: &str| status.condition(kind).is_some_and(|condition| condition.status == "True");
        // A status of an earlier spec says nothing about this one.
        let is_current = status.observed_generation == target.metadata.generation;
        is_current
            && match self {
                Self::Healthy => is_true("Ready"),
                Self::Running => status.phase.as_deref() == Some("Running"),
                Self::Reachable => is_true("Reachable"),
            }
    }
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let hub = args.hub.hub().await?;
    let (start, mut shown) = (Instant::now(), String::new());
    loop {
        let mut all = targets(&hub, args.all_namespaces, args.selector.as_deref()).await?;
        all.retain(|target| args.names.is_empty() || args.names.contains(&target.name_any()));
        if let Some(unknown) = args.names.iter().find(|name| all.iter().all(|target| target.name_any() != **name)) {
            return Err(format!("there is no IntegrationTarget {unknown} in namespace {}", hub.namespace).into());
        }
        if all.is_empty() {
            return Err("no IntegrationTarget has these labels; set the namespace with -n, or -A for all".into());
        }
        let waiting: Vec<String> =
            all.iter().filter(|target| !args.state.is_met(target)).map(ResourceExt::name_any).collect();
        let progress = progress(all.len(), &waiting);
        if waiting.is_empty() {
            print(&format!("{progress}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        if progress != shown {
            print_error(&format!("{progress}\n"));
            shown = progress;
        }
        if start.elapsed() + AGAIN > args.timeout {
            print_error(&format!("timed out after {} s\n", args.timeout.as_secs()));
            return Ok(ExitCode::FAILURE);
        }
        sleep(AGAIN).await;
    }
}

/// Such as `2 of 3 clusters; waiting for berlin`.
fn progress(all: usize, waiting: &[String]) -> String {
    let done = all - waiting.len();
    if waiting.is_empty() {
        return format!("{done} of {all} clusters");
    }
    let names: Vec<_> = waiting.iter().take(MAX_NAMES).map(|name| escape(name).into_owned()).collect();
    let more = waiting.len().saturating_sub(MAX_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{done} of {all} clusters; waiting for {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(observed: i64, phase: &str, ready: &str) -> IntegrationTarget {
        serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": {"name": "c1", "generation": 2}, "spec": {"clusterName": "c1"},
            "status": {"phase": phase, "observedGeneration": observed, "conditions": [
                {"type": "Ready", "status": ready, "reason": "r", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        .unwrap()
    }

    #[test]
    fn state_is_met_by_the_present_spec_only() {
        assert!(State::Healthy.is_met(&target(2, "Degraded", "True")));
        assert!(!State::Running.is_met(&target(2, "Degraded", "True")));
        assert!(!State::Healthy.is_met(&target(1, "Running", "True")), "of an earlier spec");
        assert!(!State::Reachable.is_met(&target(2, "Failed", "False")));
    }

    #[test]
    fn progress_names_a_few_clusters() {
        let names = |count: usize| (0..count).map(|number| format!("c{number}")).collect::<Vec<_>>();
        assert_eq!(progress(3, &names(0)), "3 of 3 clusters");
        assert_eq!(progress(3, &names(1)), "2 of 3 clusters; waiting for c0");
        assert_eq!(progress(9, &names(7)), "2 of 9 clusters; waiting for c0, c1, c2, c3, c4 and 2 more");
    }
}
