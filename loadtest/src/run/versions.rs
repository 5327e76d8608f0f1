//! Gives the clusters versions of Flux, and compares what ksit counts with the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use simulator::{Health, Kind};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::fleet::target_name;
use super::observe::metrics_text;
use super::{Fleet, Measure, NAMESPACE, RunError};

/// Namespace and name of the Deployment whose version is Flux's.
const TELLING: (&str, &str) = ("flux-system", "source-controller");

const METRIC: &str = "ksit_integration_version_clusters{";

/// Time limit for the counts to become right.
const PATIENCE: Duration = Duration::from_secs(600);

/// Time in which a superfluous status write would follow.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Clusters by version.
type Counts = BTreeMap<String, u32>;

/// The version of Flux on each cluster, by number: 1 is 1.1.0.
#[derive(Default)]
pub(super) struct Versions(Vec<u8>);

impl Versions {
    /// Gives the clusters `count` versions in turn.
    pub(super) async fn spread(&mut self, fleet: &Fleet, phase: &str, count: u8) -> Result<Vec<Measure>, RunError> {
        let wanted = (0..fleet.targets).map(|number| (number % u32::from(count.max(1))) as u8).collect();
        self.change(fleet, phase, wanted).await
    }

    /// Moves clusters from the first version to the second.
    pub(super) async fn upgrade(&mut self, fleet: &Fleet, phase: &str, count: u32) -> Result<Vec<Measure>, RunError> {
        let mut wanted = self.of(fleet);
        wanted.iter_mut().filter(|minor| **minor == 0).take(count as usize).for_each(|minor| *minor = 1);
        self.change(fleet, phase, wanted).await
    }

    fn of(&self, fleet: &Fleet) -> Vec<u8> {
        let mut all = self.0.clone();
        all.resize(fleet.targets as usize, 0);
        all
    }

    async fn change(&mut self, fleet: &Fleet, phase: &str, wanted: Vec<u8>) -> Result<Vec<Measure>, RunError> {
        let simulator = fleet.clusters.simulator()?;
        let telling = simulator.component(Kind::Deployment, TELLING.0, TELLING.1).ok_or("no source-controller")?;
        let (before, mark, started) = (self.of(fleet), fleet.hub.audit().mark(), Instant::now());
        let mut changed = BTreeSet::new();
        for (number, (from, to)) in (0..).zip(before.iter().zip(&wanted)) {
            if from != to {
                simulator.set(number, telling, Health::Released(*to));
                changed.insert(target_name(number));
            }
        }
        let mut expected = Counts::new();
        wanted.iter().for_each(|minor| *expected.entry(format!("1.{minor}.0")).or_default() += 1);
        self.0 = wanted;
        let shown = until_counted(fleet, &expected).await?;
        let took = started.elapsed().as_secs_f64();
        until_written(fleet, mark, &changed).await?;
        let written = started.elapsed().as_secs_f64();
        sleep(AFTERWARDS).await;
        let (command, metric) = (by_command(fleet).await?, by_metric(fleet).await.unwrap_or_default());
        let writes = status_writes(fleet, mark)?;
        let of_changed = changed.iter().map(|name| writes.get(name).copied().unwrap_or_default().into()).collect();
        let others = writes.iter().filter(|(name, _)| !changed.contains(*name)).map(|(_, count)| count).sum::<u32>();
        let one = |what: &str, unit, sample: f64| Measure::new(&format!("{phase}: {what}"), unit, vec![sample], None);
        let counted =
            command.iter().map(|(version, count)| one(&format!("clusters of {version}"), "", (*count).into()));
        let mut measures: Vec<Measure> = counted.collect();
        measures.extend([
            one("clusters that changed", "", changed.len() as f64),
            one("changes until the counts were right", "s", if shown { took } else { f64::INFINITY }),
            one("changes until all statuses were written", "s", written),
            one("clusters counted wrongly by ksit versions", "", difference(&command, &expected).into()),
            one("clusters counted wrongly by the metric", "", difference(&metric, &expected).into()),
            Measure::new(&format!("{phase}: status writes of a changed cluster"), "", of_changed, None),
            one("status writes of all other clusters", "", others.into()),
        ]);
        Ok(measures)
    }
}

/// Waits until both counts are right. Returns false if they are not in time.
async fn until_counted(fleet: &Fleet, expected: &Counts) -> Result<bool, RunError> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if by_command(fleet).await? == *expected && by_metric(fleet).await.as_ref() == Some(expected) {
            return Ok(true);
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(false)
}

/// Waits until each of these clusters has had a status write, which the hub's pace may delay, or time is up.
async fn until_written(fleet: &Fleet, mark: u64, changed: &BTreeSet<String>) -> Result<(), RunError> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let writes = status_writes(fleet, mark)?;
        if changed.iter().all(|name| writes.contains_key(name)) {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Status writes of each target since `mark`.
fn status_writes(fleet: &Fleet, mark: u64) -> Result<BTreeMap<String, u32>, RunError> {
    let mut writes = BTreeMap::new();
    for (name, event) in fleet.writes_since(mark)? {
        if name.ends_with("integrationtargets status") {
            *writes.entry(event.object_ref.unwrap_or_default().name).or_default() += 1;
        }
    }
    Ok(writes)
}

/// The counts of `ksit versions`.
async fn by_command(fleet: &Fleet) -> Result<Counts, RunError> {
    let mut command = Command::new(fleet.replicas.program());
    command.args(["versions", "-o", "json", "-n", NAMESPACE, "--kubeconfig"]).arg(fleet.hub.kubeconfig_path());
    let output = command.output().await?;
    let lines: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("ksit versions: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let versions = lines.as_array().into_iter().flatten().filter(|line| line["type"] == "flux");
    let versions = versions.flat_map(|line| line["versions"].as_array().cloned().unwrap_or_default());
    let count = |version: Value| {
        Some((version["version"].as_str()?.to_owned(), u32::try_from(version["clusters"].as_u64()?).ok()?))
    };
    Ok(versions.filter_map(count).collect())
}

/// The counts of the coordinator's metric; `None` while there is no coordinator.
async fn by_metric(fleet: &Fleet) -> Option<Counts> {
    let coordinator = fleet.coordinator_metrics().await?.coordinator;
    let text = metrics_text(&fleet.processes().get(&coordinator)?.log).await?;
    Some(text.lines().filter_map(version_of).collect())
}

/// Version and count in a line of the metric.
fn version_of(line: &str) -> Option<(String, u32)> {
    let (labels, count) = line.strip_prefix(METRIC)?.rsplit_once("} ")?;
    let version = labels.split(',').find_map(|label| label.strip_prefix("version=\"")?.strip_suffix('"'))?;
    let count: f64 = count.parse().ok()?;
    (labels.contains("type=\"flux\"") && count > 0.0).then(|| (version.to_owned(), count as u32))
}

/// Clusters that `counts` has in excess or lacks, of any version.
fn difference(counts: &Counts, expected: &Counts) -> u32 {
    let versions: BTreeSet<&String> = counts.keys().chain(expected.keys()).collect();
    let of = |counts: &Counts, version: &String| counts.get(version).copied().unwrap_or_default();
    versions.into_iter().map(|version| of(counts, version).abs_diff(of(expected, version))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_line_has_a_version_and_a_count() {
        let line = |version: &str| {
            format!("{METRIC}namespace=\"load\",integration=\"flux\",type=\"flux\",version=\"{version}\"}} 3334")
        };
        assert_eq!(version_of(&line("1.1.0")), Some(("1.1.0".to_owned(), 3334)));
        assert_eq!(version_of("ksit_members 3"), None);
        assert_eq!(version_of(&line("1.1.0").replace("type=\"flux\"", "type=\"istio\"")), None);
    }

    #[test]
    fn difference_counts_both_sides() {
        let counts = |pairs: &[(&str, u32)]| pairs.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect::<Counts>();
        assert_eq!(difference(&counts(&[("1", 5), ("2", 1)]), &counts(&[("1", 3), ("3", 2)])), 2 + 1 + 2);
    }
}
