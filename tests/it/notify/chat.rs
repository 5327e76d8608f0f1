//! Slack and Teams, as fakes that check the documented form of a payload.

use serde_json::{Value, json};

use super::receiver::{Received, Receiver};
use super::{Clusters, condition};

/// <https://docs.slack.dev/reference/block-kit/blocks/section-block>: `text` and up to 50 blocks; the text of a section
/// has 1 to 3,000 characters.
fn fake_slack_accepts(received: &Received) -> Value {
    assert_eq!(received.headers["content-type"], "application/json");
    let message = received.json();
    let fields: Vec<&str> = message.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["blocks", "text"]);
    assert!(!message["text"].as_str().unwrap().is_empty());
    let blocks = message["blocks"].as_array().unwrap();
    assert!((1..=50).contains(&blocks.len()));
    for block in blocks {
        assert_eq!((&block["type"], &block["text"]["type"]), (&json!("section"), &json!("mrkdwn")), "{block:#}");
        assert!((1..=3_000).contains(&block["text"]["text"].as_str().unwrap().chars().count()));
    }
    message
}

/// <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>: a message
/// of at most 28 KB with one adaptive card.
fn fake_teams_accepts(received: &Received) -> Value {
    assert_eq!(received.headers["content-type"], "application/json");
    assert!(received.body.len() < 28 * 1_024);
    let message = received.json();
    let attachments = message["attachments"].as_array().unwrap();
    assert_eq!((&message["type"], attachments.len()), (&json!("message"), 1));
    assert_eq!(attachments[0]["contentType"], "application/vnd.microsoft.card.adaptive");
    let card = &attachments[0]["content"];
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
    for element in card["body"].as_array().unwrap() {
        assert!(element["type"] == "TextBlock" && element["text"].is_string(), "{element:#}");
    }
    card.clone()
}

#[tokio::test]
async fn slack_and_teams_get_messages_in_their_form() {
    let clusters = Clusters::new("notify-chat", 3).await;
    let (fake_slack, fake_teams) = (Receiver::start().await, Receiver::start().await);
    fake_teams.answer(202);
    let url = |fake: &Receiver| format!("{}/services/T000/B000/s3cret?sig=s3cret", fake.url);
    clusters.notifier_secret("chats", json!({ "slack": url(&fake_slack), "teams": url(&fake_teams) })).await;
    for chat in ["slack", "teams"] {
        let receiver = json!({ chat: { "urlSecretRef": { "name": "chats", "key": chat } }, "after": "4s" });
        clusters.notifier(chat, receiver).await;
    }
    clusters.break_flux().await;
    for (fake, accepts) in
        [(&fake_slack, fake_slack_accepts as fn(&Received) -> Value), (&fake_teams, fake_teams_accepts)]
    {
        let received = fake.until("a message", |received| !received.is_empty()).await;
        let shown = accepts(&received[0]).to_string();
        assert!(shown.contains("flux is Failed on 3 clusters") && shown.contains("c000, c001, c002"), "{shown}");
        assert_eq!(received[0].path, "/services/T000/B000/s3cret?sig=s3cret");
    }
    clusters.mend_flux().await;
    let received = fake_slack.until("the recovery", |received| received.len() == 2).await;
    assert!(fake_slack_accepts(&received[1])["text"].as_str().unwrap().contains("recovered: flux was Failed"));
    let received = fake_teams.until("the recovery", |received| received.len() == 2).await;
    assert_eq!(fake_teams_accepts(&received[1])["body"][0]["color"], "Good");
    assert!(!clusters.world.everything_shown().await.contains("s3cret"));
}

#[tokio::test]
async fn storm_of_causes_is_a_few_messages_and_a_digest() {
    let clusters = Clusters::new("notify-digest", 2).await;
    let fake_slack = Receiver::start().await;
    clusters.notifier_secret("chats", json!({ "slack": fake_slack.url })).await;
    for number in 0..7 {
        let spec = json!({ "type": "flux", "config": { "namespace": "notify-digest" }, "targetSelector": {} });
        clusters.world.integration(&format!("flux-{number}"), spec).await;
    }
    for number in 0..7 {
        clusters.world.until_phase(&format!("flux-{number}"), "Running").await;
    }
    let receiver = json!({ "slack": { "urlSecretRef": { "name": "chats", "key": "slack" } }, "after": "4s" });
    let mut spec = receiver;
    spec["maxPerMinute"] = json!(3);
    clusters.notifier("chat", spec).await;
    clusters.break_flux().await;
    clusters
        .until_notifier("chat", |status| {
            let open = status["open"].as_array();
            open.is_some_and(|open| open.len() == 8 && open.iter().all(|cause| cause["messages"] == 1))
        })
        .await;
    let received = fake_slack.received();
    assert_eq!(received.len(), 3, "two messages and a digest of six");
    let texts: Vec<String> =
        received.iter().map(|received| fake_slack_accepts(received)["text"].as_str().unwrap().to_owned()).collect();
    println!("{texts:#?}");
    assert_eq!(texts[2], "6 messages of ksit in one");
}

/// The right to write Notifiers is not the right to send kubeconfigs to a server of one's choice.
#[tokio::test]
async fn secrets_of_other_types_are_not_sent() {
    let clusters = Clusters::new("notify-secrets", 1).await;
    let receiver = Receiver::start().await;
    clusters.world.secret("token", json!({ "token": "s3cret", "url": receiver.url })).await;
    let slack = json!({ "slack": { "urlSecretRef": { "name": "token", "key": "url" } } });
    clusters.notifier("other-type", slack).await;
    let webhook = json!({ "url": receiver.url, "hmacSecretRef": { "name": "absent", "key": "key" } });
    clusters.notifier("absent", json!({ "webhook": webhook })).await;
    clusters.notifier_secret("keyless", json!({ "other": "x" })).await;
    let webhook = json!({ "url": receiver.url, "hmacSecretRef": { "name": "keyless", "key": "key" } });
    clusters.notifier("keyless", json!({ "webhook": webhook })).await;
    clusters.break_flux().await;
    for (name, reason, words) in [
        ("other-type", "SecretRefused", "is not of type ksit.io/notifier"),
        ("absent", "SecretNotFound", "Secret notify-secrets/absent does not exist"),
        ("keyless", "SecretInvalid", "has no key key"),
    ] {
        let found = clusters
            .until_notifier(name, |status| condition(status, "Delivered").is_some_and(|(_, is, _)| is == reason))
            .await;
        let (_, _, message) = condition(&found.data["status"], "Delivered").unwrap();
        assert!(message.contains(words), "{message}");
    }
    assert!(receiver.received().is_empty(), "nothing was sent");
}
