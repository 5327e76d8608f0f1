//! Maintenance windows.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Clusters;
use super::receiver::Receiver;
use crate::kit::eventually;

fn in_seconds(seconds: u64) -> String {
    let at = Timestamp::now() + Duration::from_secs(seconds);
    Timestamp::from_second(at.as_second()).unwrap().to_string()
}

fn once(until: &str) -> Value {
    json!({ "targetSelector": {}, "from": "2020-01-01T00:00:00Z", "until": until })
}

impl Clusters {
    async fn status_of(&self, target: &str) -> Value {
        self.world.api("IntegrationTarget").get(target).await.unwrap().data["status"].clone()
    }

    /// The status of the target, once its maintenance is that of this window.
    async fn until_maintenance(&self, target: &str, window: Option<&str>) -> Value {
        eventually(&format!("maintenance {window:?}"), async || {
            let status = self.status_of(target).await;
            (status["maintenance"]["name"].as_str() == window).then_some(status)
        })
        .await
    }
}

#[tokio::test]
async fn window_that_ends_while_a_cluster_is_broken_notifies_then() {
    let clusters = Clusters::new("notify-window", 2).await;
    let receiver = Receiver::start().await;
    clusters.notifier("events", json!({ "webhook": { "url": receiver.url } })).await;
    let until = in_seconds(25);
    clusters.world.apply("MaintenanceWindow", "upgrade", once(&until)).await.unwrap();
    let status = clusters.until_maintenance("c000", Some("upgrade")).await;
    assert_eq!(status["maintenance"], json!({ "name": "upgrade", "until": until }), "as long as it is open");
    assert_eq!(status["phase"], "Running");
    clusters.break_flux().await;
    clusters.until_failed(2).await;
    let (_, shown) = super::command::ksit(&["target", "c000", "-n", "notify-window"]).await;
    assert!(shown.contains(&format!("Maintenance: upgrade until {until}")) && shown.contains("Failed"), "{shown}");
    let (_, shown) = super::command::ksit(&["clusters", "-n", "notify-window"]).await;
    assert!(shown.contains("MAINTENANCE") && shown.contains(&format!("until {until}")), "{shown}");
    let series =
        "ksit_target_maintenance{namespace=\"notify-window\",target=\"c000\",cluster=\"c000\",integration=\"\"} 1";
    eventually("the metrics", async || {
        let metrics = clusters.world.http_get("/metrics").await;
        (metrics.contains("ksit_targets_in_maintenance 2") && metrics.contains(series)).then_some(())
    })
    .await;
    let received = receiver.until("an event", |received| !received.is_empty()).await;
    let notified = Timestamp::now();
    assert!(notified >= until.parse().unwrap(), "at {notified}, before the end at {until}");
    assert_eq!(received[0].json()["data"]["clusters"]["count"], 2);
    let status = clusters.until_maintenance("c000", None).await;
    assert_eq!(status["phase"], "Failed", "the phase never followed the window");
}

#[tokio::test]
async fn overlapping_windows_show_the_one_that_ends_last() {
    let clusters = Clusters::new("notify-overlap", 2).await;
    let window =
        async |name: &str, spec: Value| drop(clusters.world.apply("MaintenanceWindow", name, spec).await.unwrap());
    let (soon, late) = (in_seconds(20), in_seconds(3_600));
    window("short", once(&soon)).await;
    clusters.until_maintenance("c000", Some("short")).await;
    let mut long = once(&late);
    long["targetSelector"] = json!({ "matchLabels": { "number": "0" } });
    window("long", long).await;
    clusters.until_maintenance("c000", Some("long")).await;
    assert_eq!(clusters.status_of("c001").await["maintenance"]["name"], "short", "the other one is not selected");
    // A window of one tool gives way to those of all.
    let mut of_flux = once(&in_seconds(7_200));
    of_flux["integrations"] = json!(["flux"]);
    window("of-flux", of_flux).await;
    let status = clusters.until_maintenance("c001", Some("of-flux")).await;
    assert_eq!(status["maintenance"]["integrations"], json!(["flux"]), "the short one has ended");
    assert_eq!(clusters.status_of("c000").await["maintenance"]["name"], "long");
    // Each change of a window is one write of a status.
    let before = clusters.world.api("IntegrationTarget").get("c000").await.unwrap().metadata.resource_version;
    clusters
        .world
        .until_target("c001", |target| target.status.as_ref().is_some_and(|status| status.maintenance.is_some()))
        .await;
    let after = clusters.world.api("IntegrationTarget").get("c000").await.unwrap().metadata.resource_version;
    assert_eq!(before, after);
}
