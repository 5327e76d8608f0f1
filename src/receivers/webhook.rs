//! CloudEvents 1.0 in the structured JSON mode, signed with HMAC-SHA256.

use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Payload;
use super::text::title;
use crate::domain::keys::NotifierKey;
use crate::domain::notify::{Cause, Delivery, Message};

/// Header with `sha256=` and the HMAC of the body in hex.
const SIGNATURE: &str = "x-ksit-signature";

const CONTENT_TYPE: &str = "application/cloudevents+json";

pub(super) fn payload(delivery: &Delivery, key: Option<&SecretString>) -> Payload {
    let mut payload = Payload::json(CONTENT_TYPE, &event(delivery));
    if let Some(key) = key {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
        let tag = hmac::sign(&key, &payload.body);
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        payload.headers.insert(SIGNATURE, format!("sha256={hex}"));
    }
    payload
}

fn event(delivery: &Delivery) -> Value {
    match delivery {
        Delivery::One(message) => envelope(
            &message.notifier,
            &message.id,
            &format!("io.ksit.cause.{}", message.kind.as_str()),
            &message.at.to_string(),
            data(message),
        ),
        Delivery::Digest(messages) | Delivery::Alerts { messages, .. } => {
            let Some(first) = messages.first() else { return Value::Null };
            let causes: Vec<Value> = messages.iter().map(data).collect();
            let id = format!("{}-and-{}", first.id, messages.len() - 1);
            let data = json!({ "title": format!("{} messages in one", messages.len()), "causes": causes });
            envelope(&first.notifier, &id, "io.ksit.digest", &first.at.to_string(), data)
        }
        Delivery::Test { notifier, at, id } => {
            let data = json!({ "title": "A test message of ksit." });
            envelope(notifier, id, "io.ksit.test", &at.to_string(), data)
        }
    }
}

fn envelope(notifier: &NotifierKey, id: &str, kind: &str, time: &str, data: Value) -> Value {
    let (namespace, name) = (notifier.namespace(), notifier.name());
    json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("/apis/ksit.io/v1alpha1/namespaces/{namespace}/notifiers/{name}"),
        "type": kind,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    })
}

fn data(message: &Message) -> Value {
    let Message { id, key, kind, notifier, cause, type_name, clusters, names, others, since, ended, at: _ } = message;
    let other = |(cause, clusters): &(Cause, u32)| json!({ "phase": cause.phase.as_str(), "reason": cause.reason.as_str(), "clusters": clusters });
    let others: Vec<Value> = others.iter().map(other).collect();
    json!({
        "id": id,
        "key": key,
        "state": kind.as_str(),
        "title": title(message),
        "namespace": notifier.namespace(),
        "integration": cause.integration,
        "type": type_name,
        "phase": cause.phase.as_str(),
        "reason": cause.reason.as_str(),
        "clusters": { "count": clusters, "first": names },
        "others": others,
        "since": since.to_string(),
        "ended": ended.map(|ended| ended.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::text::test_kit::message;
    use super::*;
    use crate::domain::notify::Kind;

    #[test]
    fn event_has_the_required_attributes() {
        let delivery = Delivery::One(Box::new(message(Kind::Opened, Some("cd"))));
        let event: Value = serde_json::from_slice(&payload(&delivery, None).body).unwrap();
        assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!("00ff-1-opened")));
        assert_eq!(event["source"], "/apis/ksit.io/v1alpha1/namespaces/fleet/notifiers/chat");
        assert_eq!((&event["type"], &event["data"]["key"]), (&json!("io.ksit.cause.opened"), &json!("00ff")));
        assert_eq!(event["data"]["clusters"], json!({"count": 200, "first": ["c1", "c2"]}));
    }

    #[test]
    fn digest_has_the_identity_of_each_message() {
        let messages = vec![message(Kind::Opened, Some("cd")), message(Kind::Resolved, None)];
        let event: Value = serde_json::from_slice(&payload(&Delivery::Digest(messages), None).body).unwrap();
        assert_eq!(event["type"], "io.ksit.digest");
        let ids: Vec<&str> =
            event["data"]["causes"].as_array().unwrap().iter().map(|cause| cause["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["00ff-1-opened", "00ff-1-resolved"]);
    }

    #[test]
    fn body_is_signed_with_the_key() {
        let delivery = Delivery::Test {
            notifier: NotifierKey::new("fleet", "chat"),
            at: "2026-12-01T00:00:00Z".parse().unwrap(),
            id: "test".to_owned(),
        };
        let signed = payload(&delivery, Some(&"key".into()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let hex = signed.headers[SIGNATURE].strip_prefix("sha256=").unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        assert_eq!(bytes.len(), 32);
        hmac::verify(&key, &signed.body, &bytes).unwrap();
        let other = hmac::Key::new(hmac::HMAC_SHA256, b"other");
        hmac::verify(&other, &signed.body, &bytes).unwrap_err();
        assert!(payload(&delivery, None).headers.is_empty());
    }
}
