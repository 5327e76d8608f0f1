//! Renders metrics per cluster and per tool on it.
//!
//! Only the coordinator has them. It renders them at each scrape: as gauges, a hundred thousand of them would take more
//! memory than the fleet itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

/// Which clusters and tools have their own series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TargetMetrics {
    /// All, up to 10,000 tools on clusters; beyond that only those that are not healthy.
    #[default]
    Auto,
    /// All, and the duration of each cluster's rounds.
    #[value(alias = "true")]
    On,
    /// None.
    #[value(alias = "false")]
    Off,
}

/// A metric with its help text and labels.
#[derive(Debug)]
pub struct Family {
    /// As in `/metrics`, with the prefix `ksit_`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// In the order of the values of a sample.
    pub labels: &'static [&'static str],
}

pub const TARGET_REACHABLE: Family = Family {
    name: "ksit_target_reachable",
    help: "Whether ksit can read a cluster (1) or not (0).",
    labels: &["namespace", "target", "cluster"],
};

pub const TARGET_HEALTHY: Family = Family {
    name: "ksit_target_healthy",
    help: "Whether ksit can read a cluster and all tools on it work (1) or not (0).",
    labels: &["namespace", "target", "cluster"],
};

pub const TARGET_SINCE: Family = Family {
    name: "ksit_target_unhealthy_since_timestamp_seconds",
    help: "When a cluster became Degraded, Failed or Unknown, with the reason.",
    labels: &["namespace", "target", "cluster", "phase", "reason"],
};

pub const TARGET_LABELS: Family = Family {
    name: "ksit_target_labels",
    help: "Labels of a cluster, each as label_NAME, to join with the other metrics.",
    labels: &["namespace", "target"],
};

pub const TARGET_CREDENTIAL_EXPIRING: Family = Family {
    name: "ksit_target_credential_expiring",
    help: "1 for a cluster whose credential expires soon, as in its condition CredentialExpiring.",
    labels: &["namespace", "target", "cluster"],
};

pub const TOOL_HEALTHY: Family = Family {
    name: "ksit_tool_healthy",
    help: "Whether a tool works on a reachable cluster (1) or not (0).",
    labels: &["namespace", "target", "cluster", "integration", "type"],
};

pub const TOOL_SINCE: Family = Family {
    name: "ksit_tool_unhealthy_since_timestamp_seconds",
    help: "When a tool on a reachable cluster became Degraded, Failed or Unknown, with the reason.",
    labels: &["namespace", "target", "cluster", "integration", "type", "phase", "reason"],
};

pub const RESOURCES_FAILING: Family = Family {
    name: "ksit_tool_resources_failing",
    help: "Objects of a kind that a tool manages on a cluster and that fail; absent where none does.",
    labels: &["namespace", "target", "cluster", "integration", "type", "kind"],
};

pub const TARGET_MAINTENANCE: Family = Family {
    name: "ksit_target_maintenance",
    help: "1 for a cluster in an open maintenance window; integration is empty if the window covers all tools.",
    labels: &["namespace", "target", "cluster", "integration"],
};

/// All metrics per cluster and per tool on it.
pub const FAMILIES: [&Family; 9] = [
    &TARGET_REACHABLE,
    &TARGET_HEALTHY,
    &TARGET_SINCE,
    &TARGET_LABELS,
    &TARGET_CREDENTIAL_EXPIRING,
    &TARGET_MAINTENANCE,
    &TOOL_HEALTHY,
    &TOOL_SINCE,
    &RESOURCES_FAILING,
];

/// Samples in the Prometheus text format, grouped by family.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<&'static str, (&'static Family, String)>);

impl Samples {
    /// `values`: values of the family's labels, in order.
    pub fn add(&mut self, family: &'static Family, values: &[&str], value: i64) {
        self.add_labelled(family, values, &BTreeMap::new(), value);
    }

    /// Adds a sample with a cluster's labels. If two label names are equal after sanitising, the first one wins.
    pub fn add_labelled(
        &mut self,
        family: &'static Family,
        values: &[&str],
        labels: &BTreeMap<String, String>,
        value: i64,
    ) {
        let (_, text) = self.0.entry(family.name).or_insert_with(|| (family, String::new()));
        text.push_str(family.name);
        let more: BTreeMap<String, &String> =
            labels.iter().rev().map(|(name, value)| (label_name(name), value)).collect();
        let own = family.labels.iter().map(|name| (*name).to_owned()).zip(values.iter().copied());
        let all = own.chain(more.into_iter().map(|(name, value)| (name, value.as_str())));
        for (index, (name, value)) in all.enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(text, "{name}=\"");
            text.extend(value.chars().flat_map(escaped));
            text.push('"');
        }
        let _ = writeln!(text, "}} {value}");
    }

    pub fn text(self) -> String {
        let mut all = String::new();
        for (name, (family, samples)) in self.0 {
            let _ = write!(all, "# HELP {name} {}\n# TYPE {name} gauge\n{samples}", family.help);
        }
        all
    }
}

fn label_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("label_{}", name.chars().map(plain).collect::<String>())
}

/// Escapes a character for a label value.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        '\\' | '"' => ('\\', Some(c)),
        '\n' => ('\\', Some('n')),
        _ => (c, None),
    };
    std::iter::once(first).chain(second)
}

/// A scrape, which the coordinator answers with its samples.
pub type Scrape = oneshot::Sender<String>;

/// Scrapes that may wait for an answer.
const MAX_SCRAPES: usize = 4;

/// Below Prometheus' default timeout of ten seconds.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Validity of an answer. Anyone who can reach the port may scrape as often as they like, so answers are cached.
const CACHED_FOR: Duration = Duration::from_secs(1);

/// Forwards scrapes from `/metrics` to the coordinator while this replica is the coordinator.
#[derive(Debug)]
pub struct FleetMetrics {
    coordinator: watch::Sender<Option<mpsc::Sender<Scrape>>>,
    last: Mutex<Option<Answer>>,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    by: mpsc::Sender<Scrape>,
    samples: String,
}

/// The coordinator did not answer. A response without its series would resolve alerts that should keep firing.
#[derive(Debug, thiserror::Error)]
#[error("the coordinator did not provide its metrics within {} s", TIMEOUT.as_secs())]
pub struct Unanswered;

impl Default for FleetMetrics {
    fn default() -> Self {
        Self { coordinator: watch::Sender::new(None), last: Mutex::default() }
    }
}

impl FleetMetrics {
    /// Returns the scrapes that the new coordinator has to answer.
    pub fn open(&self) -> mpsc::Receiver<Scrape> {
        let (sender, receiver) = mpsc::channel(MAX_SCRAPES);
        self.coordinator.send_replace(Some(sender));
        receiver
    }

    pub fn close(&self) {
        self.coordinator.send_replace(None);
    }

    /// Renders the samples; empty if this replica is not the coordinator.
    pub async fn render(&self) -> Result<String, Unanswered> {
        timeout(TIMEOUT, self.answer()).await.unwrap_or(Err(Unanswered))
    }

    async fn answer(&self) -> Result<String, Unanswered> {
        // Concurrent scrapes share one answer.
        let mut last = self.last.lock().await;
        let Some(coordinator) = self.coordinator.borrow().clone() else {
            *last = None;
            return Ok(String::new());
        };
        if let Some(Answer { at, by, samples }) = &*last
            && at.elapsed() < CACHED_FOR
            && by.same_channel(&coordinator)
        {
            return Ok(samples.clone());
        }
        let (scrape, samples) = oneshot::channel();
        let _ = coordinator.send(scrape).await;
        match samples.await {
            Ok(samples) => {
                *last = Some(Answer { at: Instant::now(), by: coordinator, samples: samples.clone() });
                Ok(samples)
            }
            // This replica is no longer the coordinator.
            Err(_) if self.coordinator.borrow().as_ref().is_none_or(|now| !now.same_channel(&coordinator)) => {
                Ok(String::new())
            }
            Err(_) => Err(Unanswered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_grouped_by_family_and_values_escaped() {
        let mut samples = Samples::default();
        samples.add(&TARGET_REACHABLE, &["fleet", "a", "x\"\\\n"], 1);
        samples.add(&TARGET_HEALTHY, &["fleet", "a", "a"], 0);
        samples.add(&TARGET_REACHABLE, &["fleet", "b", "b"], 0);
        let text = samples.text();
        let reachable: Vec<_> = text.lines().skip_while(|line| !line.contains("TYPE ksit_target_reachable")).collect();
        assert_eq!(
            reachable,
            [
                "# TYPE ksit_target_reachable gauge",
                r#"ksit_target_reachable{namespace="fleet",target="a",cluster="x\"\\\n"} 1"#,
                r#"ksit_target_reachable{namespace="fleet",target="b",cluster="b"} 0"#,
            ]
        );
    }

    #[test]
    fn labels_with_equal_sanitised_names_are_merged() {
        let labels = [("a.b", "1"), ("a/b", "2"), ("region", "eu")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut samples = Samples::default();
        samples.add_labelled(&TARGET_LABELS, &["fleet", "a"], &labels, 1);
        let expected = r#"ksit_target_labels{namespace="fleet",target="a",label_a_b="1",label_region="eu"} 1"#;
        assert_eq!(samples.text().lines().last(), Some(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_coordinator_is_an_error() {
        let metrics = FleetMetrics::default();
        assert_eq!(metrics.render().await.unwrap(), "", "this replica does not lead");
        let mut scrapes = metrics.open();
        let (answer, ()) = tokio::join!(metrics.render(), async {
            scrapes.recv().await.unwrap().send("a 1\n".to_owned()).unwrap();
        });
        assert_eq!(answer.unwrap(), "a 1\n");
        assert_eq!(metrics.render().await.unwrap(), "a 1\n", "the answer is cached");
        tokio::time::advance(CACHED_FOR).await;
        assert!(metrics.render().await.is_err());
        drop(scrapes);
        assert!(metrics.render().await.is_err(), "the coordinator is gone but has not closed");
        metrics.close();
        assert_eq!(metrics.render().await.unwrap(), "");
    }
}
