//! Checks the metrics of a running replica, and the metrics and labels that queries name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ksit::observability::{FAMILIES, Family, Metrics, ReconcileResult};
use serde_json::json;
use testkit::Tool;

use super::helm::run_with;
use crate::kit::{World, eventually, install_flux, target};

/// Labels that Prometheus adds to every series.
const SCRAPE_LABELS: [&str; 2] = ["job", "instance"];

/// Every series that ksit can expose, with its labels.
pub fn exposed() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::new().unwrap();
    metrics.reconciled("integrationtarget", ReconcileResult::Success, Duration::ZERO);
    metrics.lease_renew_seconds.with_label_values(&["member"]);
    let shown = metrics.render().unwrap();
    let mut found = BTreeMap::new();
    for Family { name, labels, .. } in FAMILIES {
        // A query may use any of a cluster's own labels.
        let own = (*name == "ksit_target_labels").then_some(&"label_env");
        let labels = labels.iter().chain(&SCRAPE_LABELS).chain(own).map(|label| (*label).to_owned()).collect();
        found.insert((*name).to_owned(), labels);
    }
    for (name, labels) in Metrics::LABELS {
        let labels: BTreeSet<String> = labels.iter().chain(&SCRAPE_LABELS).map(|label| (*label).to_owned()).collect();
        if shown.contains(&format!("# TYPE {name} histogram\n")) {
            let with_bound = labels.iter().cloned().chain(["le".to_owned()]).collect();
            found.insert(format!("{name}_bucket"), with_bound);
            found.insert(format!("{name}_sum"), labels.clone());
            found.insert(format!("{name}_count"), labels);
        } else {
            found.insert((*name).to_owned(), labels);
        }
    }
    found
}

/// Panics if `query` names a metric that ksit doesn't have, or a label that the metric doesn't have.
pub fn check_names(query: &str, exposed: &BTreeMap<String, BTreeSet<String>>) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut rest = query;
    let mut count = 0;
    while let Some(start) = rest.find(is_name) {
        let word: String = rest[start..].chars().take_while(|c| is_name(*c)).collect();
        rest = &rest[start + word.len()..];
        if !["ksit_", "controller_runtime_", "process_"].iter().any(|prefix| word.starts_with(prefix)) {
            // Not a metric of ksit; a label's value may be any word.
            continue;
        }
        count += 1;
        let labels = exposed.get(&word).unwrap_or_else(|| panic!("{query}: ksit has no metric {word}"));
        let Some(matchers) = rest.strip_prefix('{').and_then(|inside| inside.split_once('}')) else { continue };
        for matcher in matchers.0.split(',') {
            let label = matcher.trim().split(['=', '!']).next().unwrap();
            assert!(labels.contains(label), "{query}: {word} has no label {label:?}");
        }
    }
    assert!(count > 0, "{query}: names no metric of ksit");
    check_grouping(query, exposed);
}

/// Asserts that labels in `by (…)`, `on (…)` and `without (…)` belong to some metric.
fn check_grouping(query: &str, exposed: &BTreeMap<String, BTreeSet<String>>) {
    let all_labels: BTreeSet<&String> = exposed.values().flatten().collect();
    for word in [" by (", " on (", " without ("] {
        for list in query.split(word).skip(1).filter_map(|rest| rest.split(')').next()) {
            for label in list.split(',').map(str::trim).filter(|label| !label.is_empty()) {
                assert!(all_labels.contains(&label.to_owned()), "{query}: no metric has a label {label:?}");
            }
        }
    }
}

#[tokio::test]
async fn metrics_pass_promtool() {
    let namespace = "chart-metrics";
    install_flux(namespace).await;
    let mut world = World::new(namespace).await;
    world.target("one", &target().await.kubeconfig()).await;
    world.target("away", "{}").await;
    world
        .integration("flux", json!({ "type": "flux", "config": { "namespace": namespace }, "targetClusters": ["one"] }))
        .await;
    world.start_operator(&[]).await;
    world.until_phase("flux", "Running").await;
    let metrics = eventually("the open connection to be counted", async || {
        let answer = world.http_get("/metrics").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Some(unchunked(head, body)).filter(|metrics| metrics.contains("\nksit_connections 1\n"))
    })
    .await;
    for lease in ["member", "coordinator"] {
        assert!(metrics.contains(&format!("ksit_lease_renew_seconds_count{{lease=\"{lease}\"}}")), "{metrics}");
    }
    for series in [
        "ksit_tool_healthy{namespace=\"chart-metrics\",target=\"one\",cluster=\"one\",integration=\"flux\",type=\"flux\"} 1",
        "ksit_target_reachable{namespace=\"chart-metrics\",target=\"away\",cluster=\"away\"} 0",
        "cluster=\"away\",phase=\"Failed\",reason=\"KubeconfigInvalid\"} 1",
    ] {
        assert!(metrics.contains(series), "{series}: {metrics}");
    }
    assert!(!metrics.contains("ksit_target_round_seconds{"), "per-target metrics are opt-in: {metrics}");
    let outcome = run_with(Tool::Promtool, &["check", "metrics"], &metrics).await;
    assert!(outcome.is_ok && outcome.stderr.is_empty(), "{outcome:?}");
}

/// The body, decoded if the transfer was chunked.
fn unchunked(head: &str, body: &str) -> String {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut text, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    text
}
