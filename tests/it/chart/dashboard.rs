//! The dashboards: every panel queries existing metrics, and has data in a real Prometheus during a kill and a break.

use serde_json::Value;
use testkit::port::Port;
use testkit::{Process, Tool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::helm::{NAMESPACE, objects, of_kind};
use super::metrics::{check_names, exposed};
use crate::kit::{Fleet, eventually, with_validation};

/// Panels of both dashboards, fleet and operator.
async fn panels() -> Vec<Value> {
    let objects = objects(NAMESPACE, &["dashboard.enabled=true"]).await;
    let data = &of_kind(&objects, "ConfigMap")[0]["data"];
    let mut panels = Vec::new();
    for file in ["ksit-fleet.json", "ksit-operator.json"] {
        let dashboard: Value = serde_json::from_str(data[file].as_str().unwrap()).unwrap();
        let of_dashboard = dashboard["panels"].as_array().unwrap();
        let ids: std::collections::BTreeSet<_> = of_dashboard.iter().map(|panel| panel["id"].as_i64()).collect();
        assert_eq!(ids.len(), of_dashboard.len(), "{file}: each panel has its own id");
        panels.extend(of_dashboard.iter().cloned());
    }
    panels
}

/// Title and query of every panel, for `job`.
fn queries(panels: &[Value], job: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap().replace("$job", job).replace("$__rate_interval", "10s");
            let query = query.replace("$namespace", ".*").replace("$label", "label_env");
            found.push((title.to_owned(), query));
        }
    }
    found
}

#[tokio::test]
async fn panels_query_existing_metrics_and_labels() {
    let exposed = exposed();
    let queries = queries(&panels().await, "ksit");
    assert!(queries.len() > 15, "{queries:?}");
    for (_, query) in &queries {
        check_names(query, &exposed);
    }
    // Every metric is in a panel or in an alert.
    for name in exposed.keys().filter(|name| !name.ends_with("_count")) {
        assert!(queries.iter().any(|(_, query)| query.contains(name.as_str())) || is_for_alerts(name), "{name}");
    }
}

fn is_for_alerts(name: &str) -> bool {
    std::fs::read_to_string(super::helm::chart().join("files/rules.yaml")).unwrap().contains(name)
}

/// A Prometheus that scrapes the replicas every second.
struct Prometheus {
    port: Port,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    async fn scraping(job: &str, replicas: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = Port::reserve().unwrap();
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s" },
            "scrape_configs": [{ "job_name": job, "honor_labels": true, "static_configs": [{ "targets": replicas }] }],
        });
        std::fs::write(dir.path().join("prometheus.yml"), config.to_string()).unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let arguments = [
            format!("--config.file={}", path("prometheus.yml")),
            format!("--storage.tsdb.path={}", path("data")),
            format!("--web.listen-address=127.0.0.1:{}", port.number()),
        ];
        let program = tokio::task::spawn_blocking(|| Tool::Prometheus.path()).await.unwrap().unwrap();
        let process = Process::start("prometheus", &program, &arguments, &[], &dir.path().join("log"), None).unwrap();
        Self { port, _process: process, _dir: dir }
    }

    /// Number of series that `query` returns; `None` while Prometheus can't be reached.
    async fn count_series(&self, query: &str) -> Option<usize> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let request =
            format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\nHost: prometheus\r\nConnection: close\r\n\r\n");
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port.number())).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        assert!(body["status"] != "error", "{query}: {body}");
        Some(body["data"]["result"].as_array()?.len())
    }
}

/// Address of the metrics of `ksit-ORDINAL`.
async fn address(fleet: &Fleet, ordinal: u32) -> String {
    eventually("the address of the metrics", async || {
        let log = fleet.replicas.log(ordinal);
        let line = log.lines().find(|line| line.contains("serving /livez, /readyz and /metrics"))?;
        Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
    })
    .await
}

#[tokio::test]
async fn panels_have_data_during_a_kill_and_a_break() {
    let _validation = with_validation().await;
    let mut fleet = Fleet::new("chart-dashboard", 2).await;
    let map = fleet.settled(&[0, 1]).await;
    let addresses = [address(&fleet, 0).await, address(&fleet, 1).await];
    let prometheus = Prometheus::scraping("chart-dashboard/ksit", &addresses).await;
    fleet.until_all("Running").await;
    eventually("both replicas to be scraped", async || {
        (prometheus.count_series("ksit_coordinator_term").await? == 2).then_some(())
    })
    .await;
    // Kill a worker, and break the tool.
    let coordinator = Fleet::coordinator(&map);
    fleet.replicas.kill(1 - coordinator);
    fleet.settled(&[coordinator]).await;
    fleet.scale_flux(0).await;
    fleet.until_all("Failed").await;
    for (title, query) in queries(&panels().await, "chart-dashboard/ksit") {
        // No cluster is unreachable here, no credential expires, and no cluster has kinds that tools manage.
        let quiet = [
            "Failed rounds by reason",
            "Unreachable clusters",
            "Clusters with an expiring credential",
            "Failing objects by cluster",
            "Failing objects by kind, over time",
            "Certificates and backups that need attention, by cluster",
        ];
        if quiet.contains(&title.as_str()) {
            prometheus.count_series(&query).await.unwrap();
            continue;
        }
        let what = format!("{title}: {query}");
        eventually(&what, async || prometheus.count_series(&query).await.filter(|found| *found > 0)).await;
    }
    fleet.replicas.check().unwrap();
}
