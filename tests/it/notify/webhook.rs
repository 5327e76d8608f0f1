//! CloudEvents to a webhook.

use std::collections::BTreeSet;
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};

use super::receiver::{Received, Receiver};
use super::{Clusters, condition};

/// The CloudEvents of these types.
fn events<'a>(received: &'a [Received], kind: &'a str) -> impl Iterator<Item = Value> + 'a {
    received.iter().map(Received::json).filter(move |event| event["type"] == kind)
}

/// Checks the signature as a receiver would.
fn assert_signed(received: &Received, key: &str) {
    let header = received.headers["x-ksit-signature"].to_str().unwrap();
    let hex = header.strip_prefix("sha256=").unwrap();
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), &received.body, &bytes).unwrap();
}

#[tokio::test]
async fn webhook_gets_signed_cloud_events_for_a_cause() {
    let clusters = Clusters::new("notify-webhook", 20).await;
    let receiver = Receiver::start().await;
    clusters.notifier_secret("signing", json!({ "key": "a shared key" })).await;
    let webhook = json!({ "url": format!("{}/hook?a=b", receiver.url),
        "hmacSecretRef": { "name": "signing", "key": "key" } });
    // Long enough for all clusters to have it by then.
    clusters.notifier("events", json!({ "webhook": webhook, "after": "4s" })).await;
    clusters.break_flux().await;
    let received = receiver.until("an event", |received| !received.is_empty()).await;
    let event = received[0].json();
    assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("io.ksit.cause.opened")), "{event:#}");
    assert_eq!(event["source"], "/apis/ksit.io/v1alpha1/namespaces/notify-webhook/notifiers/events");
    let data = &event["data"];
    assert_eq!(
        (&data["integration"], &data["type"], &data["phase"]),
        (&json!("flux"), &json!("flux"), &json!("Failed"))
    );
    assert_eq!((&data["clusters"]["count"], &data["clusters"]["first"][0]), (&json!(20), &json!("c000")), "{event:#}");
    assert_eq!(received[0].headers["content-type"], "application/cloudevents+json");
    assert_eq!(received[0].path, "/hook?a=b");
    assert_signed(&received[0], "a shared key");
    let delivered = |status: &Value| condition(status, "Delivered").is_some_and(|(holds, ..)| holds == "True");
    let notifier = clusters.until_notifier("events", |status| delivered(status) && status["openCauses"] == 1).await;
    assert_eq!(notifier.data["status"]["open"][0]["notifiedClusters"], 20);
    clusters.mend_flux().await;
    let received = receiver.until("the recovery", |received| received.len() == 2).await;
    let end = received[1].json();
    assert_eq!((&end["type"], &end["data"]["key"]), (&json!("io.ksit.cause.resolved"), &data["key"]));
    assert_ne!(end["id"], event["id"]);
    assert_signed(&received[1], "a shared key");
    clusters.until_notifier("events", |status| status["openCauses"] == 0).await;
}

#[tokio::test]
async fn failing_receiver_is_tried_again_and_delays_no_other() {
    let clusters = Clusters::new("notify-failing", 1).await;
    let (failing, works) = (Receiver::start().await, Receiver::start().await);
    failing.answer(503);
    // Accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}/", silent.local_addr().unwrap());
    for (name, url) in [("failing", failing.url.clone()), ("silent", silent_url), ("works", works.url.clone())] {
        clusters.notifier(name, json!({ "webhook": { "url": format!("{url}/s3cret?token=s3cret") } })).await;
    }
    let began = std::time::Instant::now();
    clusters.break_flux().await;
    works.until("an event", |received| received.len() == 1).await;
    assert!(began.elapsed() < Duration::from_secs(10), "it waited for the others: {:?}", began.elapsed());
    let is = |reason: &'static str| {
        move |status: &Value| condition(status, "Delivered").is_some_and(|(_, is, _)| is == reason)
    };
    let failed = clusters.until_notifier("failing", is("ServerError")).await;
    clusters.until_notifier("silent", is("TimedOut")).await;
    let (holds, _, message) = condition(&failed.data["status"], "Delivered").unwrap();
    assert!(holds == "False" && message.contains("answered 503") && !message.contains("s3cret"), "{message}");
    failing.answer(204);
    clusters.until_notifier("failing", is("Delivered")).await;
    let received = failing.received();
    let ids: BTreeSet<String> = received.iter().map(|received| received.json()["id"].to_string()).collect();
    assert!(received.len() >= 2 && ids.len() == 1, "every try has the same id: {ids:?}");
    let shown = clusters.world.everything_shown().await;
    assert!(!shown.contains("s3cret") && !shown.contains("the receiver's own words"));
    assert!(shown.contains("ksit_notifications_total{outcome=\"ServerError\"}"));
}

/// The coordinator is killed while the receiver holds its request, or right after.
#[tokio::test]
async fn killed_coordinator_loses_and_doubles_no_event() {
    let mut clusters = Clusters::new("notify-killed", 5).await;
    let receiver = Receiver::start().await;
    receiver.answer(503);
    clusters.notifier("events", json!({ "webhook": { "url": receiver.url } })).await;
    clusters.break_flux().await;
    clusters.until_notifier("events", |status| status["openCauses"] == 1).await;
    receiver.until("a try", |received| !received.is_empty()).await;
    // Decided and written, and not delivered.
    clusters.kill_operator().await;
    receiver.answer(200);
    clusters.start_operator().await;
    let told = |status: &Value| status["open"][0]["messages"] == 1;
    clusters.until_notifier("events", told).await;
    // Delivered. Another coordinator repeats nothing.
    clusters.kill_operator().await;
    clusters.start_operator().await;
    let coordinates = |log: &str| log.contains("this replica is the coordinator");
    crate::kit::eventually("the next coordinator", async || coordinates(&clusters.world.log()).then_some(())).await;
    clusters.mend_flux().await;
    clusters.until_notifier("events", |status| status["openCauses"] == 0).await;
    let received = receiver.received();
    let ids = |kind| events(&received, kind).map(|event| event["id"].to_string()).collect::<BTreeSet<_>>();
    let (opened, resolved) = (ids("io.ksit.cause.opened"), ids("io.ksit.cause.resolved"));
    println!("{} requests, ids {opened:?} {resolved:?}", received.len());
    assert_eq!((opened.len(), resolved.len()), (1, 1), "the receiver sees one start and one end");
    assert_eq!(
        opened.len() + resolved.len(),
        received.iter().map(|received| received.json()["id"].to_string()).collect::<BTreeSet<_>>().len()
    );
}
