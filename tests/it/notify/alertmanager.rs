//! A real Alertmanager.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Process;
use testkit::Tool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::receiver::{Received, Receiver};
use super::{Clusters, condition};
use crate::kit::eventually;

struct Alertmanager {
    port: u16,
    program: PathBuf,
    dir: TempDir,
    process: Option<Process>,
}

impl Alertmanager {
    /// One that sends its notifications to `receiver`. Not started yet.
    async fn new(receiver: &Receiver) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = json!({
            "route": { "receiver": "test", "group_by": ["alertname", "namespace", "integration", "reason"],
                "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h" },
            "receivers": [{ "name": "test",
                "webhook_configs": [{ "url": format!("{}/notified", receiver.url), "send_resolved": true }] }],
        });
        std::fs::write(dir.path().join("config.yml"), config.to_string()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = tokio::task::spawn_blocking(|| Tool::Alertmanager.path()).await.unwrap().unwrap();
        Self { port, program, dir, process: None }
    }

    async fn start(&mut self) {
        let path = |name: &str| self.dir.path().join(name);
        let arguments = [
            format!("--config.file={}", path("config.yml").display()),
            format!("--storage.path={}", path("data").display()),
            format!("--web.listen-address=127.0.0.1:{}", self.port),
            "--cluster.listen-address=".to_owned(),
        ];
        let log = path("log");
        self.process = Some(Process::start("alertmanager", &self.program, &arguments, &[], &log, None).unwrap());
        eventually("Alertmanager to answer", async || self.ask("GET", "/api/v2/status", "").await).await;
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: alertmanager\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        assert!(head.contains(" 200 "), "{answer}");
        serde_json::from_str(body).ok()
    }

    /// All groups, with their alerts.
    async fn groups(&self) -> Vec<Value> {
        self.ask("GET", "/api/v2/alerts/groups", "").await.unwrap().as_array().unwrap().clone()
    }

    async fn until_one_group(&self) -> Value {
        let one = async || Some(self.groups().await).filter(|groups| groups.len() == 1);
        eventually("one group of alerts", one).await.remove(0)
    }
}

/// The notifications that Alertmanager sent with this status.
fn notified(received: &[Received], status: &str) -> Vec<Value> {
    received.iter().map(Received::json).filter(|sent| sent["status"] == status).collect()
}

fn is_delivered(status: &Value) -> bool {
    condition(status, "Delivered").is_some_and(|(holds, ..)| holds == "True")
}

#[tokio::test]
async fn alertmanager_has_one_group_for_200_clusters_and_resolves_it() {
    let clusters = Clusters::new("notify-groups", 200).await;
    let chat = Receiver::start().await;
    let mut alertmanager = Alertmanager::new(&chat).await;
    alertmanager.start().await;
    let receiver = json!({ "url": alertmanager.url(), "labels": { "team": "platform" } });
    // Long enough for all 200 statuses to be written.
    clusters.notifier("alerts", json!({ "alertmanager": receiver, "after": "10s", "recoveredAfter": "2s" })).await;
    clusters.break_flux().await;
    let group = alertmanager.until_one_group().await;
    let alerts = group["alerts"].as_array().unwrap();
    let alert = &alerts[0];
    println!("{} alert: {} {}", alerts.len(), alert["labels"], alert["annotations"]["summary"]);
    assert_eq!((alerts.len(), &alert["annotations"]["clusters"]), (1, &json!("200")), "{group:#}");
    for (label, value) in [
        ("integration", "flux"),
        ("namespace", "notify-groups"),
        ("type", "flux"),
        ("phase", "Failed"),
        ("severity", "critical"),
        ("team", "platform"),
        ("alertname", "KsitToolFailedOnClusters"),
    ] {
        assert_eq!(alert["labels"][label], value, "{alert:#}");
    }
    let firing = |received: &[Received]| notified(received, "firing").len() == 1;
    chat.until("a notification", firing).await;
    clusters.mend_flux().await;
    let received = chat.until("the resolution", |received| !notified(received, "resolved").is_empty()).await;
    assert_eq!((notified(&received, "firing").len(), notified(&received, "resolved").len()), (1, 1));
    clusters.until_notifier("alerts", |status| status["openCauses"] == 0 && is_delivered(status)).await;
}

/// The coordinator decides while no Alertmanager is there, is killed, and its successor delivers. A silence for the alert
/// holds over the next change of coordinator too.
#[tokio::test]
async fn alertmanager_sees_one_alert_whoever_coordinates_and_a_silence_holds() {
    let mut clusters = Clusters::new("notify-silence", 10).await;
    let chat = Receiver::start().await;
    let mut alertmanager = Alertmanager::new(&chat).await;
    clusters.notifier("alerts", json!({ "alertmanager": { "url": alertmanager.url() }, "recoveredAfter": "2s" })).await;
    clusters.break_flux().await;
    let failed =
        |status: &Value| condition(status, "Delivered").is_some_and(|(_, reason, _)| reason == "ConnectFailed");
    let decided = clusters.until_notifier("alerts", |status| status["openCauses"] == 1 && failed(status)).await;
    let key = decided.data["status"]["open"][0]["key"].clone();
    clusters.until_failed(10).await;
    clusters.kill_operator().await;
    alertmanager.start().await;
    clusters.start_operator().await;
    let first = alertmanager.until_one_group().await["alerts"][0].clone();
    assert_eq!(first["annotations"]["key"], key, "as the former coordinator decided");
    chat.until("a notification", |received| notified(received, "firing").len() == 1).await;

    let begins = jiff::Timestamp::now();
    let silence = json!({ "matchers": [{ "name": "integration", "value": "flux", "isRegex": false, "isEqual": true }],
        "startsAt": begins.to_string(), "endsAt": (begins + std::time::Duration::from_secs(3_600)).to_string(),
        "createdBy": "test", "comment": "being mended" });
    alertmanager.ask("POST", "/api/v2/silences", &silence.to_string()).await.unwrap();
    clusters.kill_operator().await;
    clusters.start_operator().await;
    // The new coordinator sends all its alerts again.
    let again = eventually("the alert to be sent again", async || {
        let alert = alertmanager.until_one_group().await["alerts"][0].clone();
        (alert["updatedAt"] != first["updatedAt"]).then_some(alert)
    })
    .await;
    assert_eq!((&again["fingerprint"], &again["startsAt"]), (&first["fingerprint"], &first["startsAt"]));
    assert_eq!(again["status"]["state"], "suppressed", "{again:#}");
    clusters.mend_flux().await;
    clusters.until_notifier("alerts", |status| status["openCauses"] == 0).await;
    eventually("the alert to end", async || alertmanager.groups().await.is_empty().then_some(())).await;
    let received = chat.received();
    println!("{} notifications", received.len());
    assert_eq!(notified(&received, "firing").len(), 1, "neither doubled nor lost");
}
