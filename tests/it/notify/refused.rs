//! Notifiers and windows that can't be used, and receivers that ksit does not dial.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::{Clusters, condition};
use crate::kit::{World, eventually, with_validation};

#[tokio::test]
async fn api_server_refuses_nonsense_at_apply() {
    let world = World::new("notify-crds").await;
    let _strict = with_validation().await;
    let slack = || json!({ "urlSecretRef": { "name": "chats", "key": "url" } });
    let webhook = |url: &str| json!({ "webhook": { "url": url } });
    let with = |field: &str, value: Value| json!({ "slack": slack(), field: value });
    let night = |field: &str, value: Value| json!({ "targetSelector": {}, "schedule": "30 2 * * *", "duration": "1h", field: value });
    let token = json!({ "name": "t", "key": "token" });
    let rows: [(&str, Value, &str); 22] = [
        ("Notifier", json!({}), "give exactly one of alertmanager, webhook, slack and teams"),
        ("Notifier", json!({ "slack": slack(), "teams": slack() }), "give exactly one of"),
        ("Notifier", webhook("ftp://a/"), "url must begin with http:// or https://"),
        ("Notifier", webhook("https://user:password@a/"), "without user and password"),
        ("Notifier", webhook("https://"), "url must begin with"),
        (
            "Notifier",
            json!({ "webhook": { "url": "http://a/", "bearerTokenSecretRef": token } }),
            "a bearer token is only sent to an https:// URL",
        ),
        ("Notifier", json!({ "slack": {} }), "spec.slack.urlSecretRef: Required"),
        ("Notifier", with("after", json!("soon")), "spec.after"),
        ("Notifier", with("after", json!("25h")), "after must be at most 24h"),
        ("Notifier", with("remindEvery", json!("1s")), "remindEvery must be from 10m to 168h"),
        ("Notifier", with("phases", json!(["Running"])), "spec.phases[0]: Unsupported value"),
        ("Notifier", with("phases", json!([])), "spec.phases"),
        ("Notifier", with("maxPerMinute", json!(0)), "spec.maxPerMinute"),
        (
            "Notifier",
            json!({ "alertmanager": { "url": "http://a", "labels": { "a-b": "c" } } }),
            "a label of an alert is a name such as",
        ),
        ("MaintenanceWindow", json!({ "schedule": "30 2 * * *", "duration": "1h" }), "spec.targetSelector: Required"),
        ("MaintenanceWindow", json!({ "targetSelector": {} }), "give either schedule and duration, or from and until"),
        ("MaintenanceWindow", json!({ "targetSelector": {}, "schedule": "30 2 * * *" }), "need each other"),
        ("MaintenanceWindow", night("until", json!("2030-01-01T00:00:00Z")), "give either schedule"),
        ("MaintenanceWindow", night("schedule", json!("30 2 * *")), "spec.schedule"),
        ("MaintenanceWindow", night("duration", json!("1s")), "duration must be from 1m to 168h"),
        ("MaintenanceWindow", night("timeZone", json!("../etc")), "spec.timeZone"),
        (
            "MaintenanceWindow",
            json!({ "targetSelector": {}, "from": "2030-01-02T00:00:00Z", "until": "2030-01-01T00:00:00Z" }),
            "until must be later than from",
        ),
    ];
    for (kind, spec, words) in rows {
        match world.apply(kind, "bad", spec.clone()).await {
            Err(kube::Error::Api(status)) => assert!(status.message.contains(words), "{spec}: {}", status.message),
            other => panic!("{spec}: {other:?}"),
        }
    }
    let stored = world.apply("Notifier", "good", json!({ "slack": slack() })).await.unwrap().data["spec"].clone();
    let defaults = ["after", "recoveredAfter", "maxPerMinute"].map(|field| stored[field].clone());
    assert_eq!((defaults, &stored["phases"]), ([json!("2m"), json!("1m"), json!(10)], &json!(["Failed"])));
}

/// The API server can't check a cron expression or a time zone.
#[tokio::test]
async fn window_that_cannot_be_used_names_the_field() {
    let mut world = World::new("notify-invalid").await;
    for (name, schedule, zone) in [
        ("hour", "30 25 * * *", "UTC"),
        ("zone", "30 2 * * *", "Europe/Bonn"),
        ("good", "30 2 * * SUN", "Europe/Berlin"),
    ] {
        let spec = json!({ "targetSelector": {}, "schedule": schedule, "duration": "1h", "timeZone": zone });
        world.apply("MaintenanceWindow", name, spec).await.unwrap();
    }
    world.start_operator(&[]).await;
    let api = world.api("MaintenanceWindow");
    for (name, holds, words) in [
        ("hour", "False", "spec.schedule: "),
        ("zone", "False", "spec.timeZone: there is no time zone \"Europe/Bonn\""),
        ("good", "True", ""),
    ] {
        let accepted = async || condition(&api.get(name).await.unwrap().data["status"], "Accepted");
        let (is, _, message) = eventually("a condition", accepted).await;
        assert!(is == holds && message.contains(words), "{name}: {is} {message}");
    }
}

#[tokio::test]
async fn receivers_at_refused_addresses_are_not_dialled() {
    let mut clusters = Clusters::new("notify-addresses", 1).await;
    clusters.kill_operator().await;
    clusters
        .world
        .start_operator(&[
            "--lease-duration=5s",
            "--lease-renew-interval=1s",
            "--target-networks=!127.0.0.0/8,!192.0.2.0/24",
        ])
        .await;
    let receiver = Receiver::start().await;
    let local = receiver.url.clone();
    let urls = [
        ("metadata", "http://169.254.169.254/latest"),
        ("network", "http://192.0.2.1/"),
        ("local", local.as_str()),
        ("number", "http://2852039166/latest"),
    ];
    for (name, url) in urls {
        clusters.notifier(name, json!({ "webhook": { "url": url }, "phases": ["Failed", "Unknown"] })).await;
    }
    // The cluster itself is refused as well, which is the fault to report.
    for (name, words) in [
        ("metadata", "a cloud's metadata address"),
        ("network", "among what --target-networks refuses"),
        ("local", "among what --target-networks refuses"),
        ("number", "an IP address in an unusual spelling"),
    ] {
        let refused =
            |status: &Value| condition(status, "Delivered").is_some_and(|(_, reason, _)| reason == "AddressRefused");
        let found = clusters.until_notifier(name, refused).await;
        let (_, _, message) = condition(&found.data["status"], "Delivered").unwrap();
        assert!(message.contains(words) && !message.contains("latest"), "{message}");
        assert!(found.data["status"]["open"][0].get("integration").is_none(), "{:#}", found.data["status"]);
    }
    assert!(receiver.received().is_empty());
}
