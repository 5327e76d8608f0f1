//! Alerts for `POST /api/v2/alerts` of an Alertmanager.
//!
//! One alert a cause. Its labels, of which Alertmanager makes its fingerprint, stay the same from the start of the cause
//! to its end and for every coordinator; the number of clusters is an annotation. So one cause is one notification
//! whatever `group_by` is, an alert that is sent again is the same alert, and a silence for it holds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Payload;
use super::text::{clusters, command, details, title};
use crate::domain::notify::{Delivery, Kind, Message};
use crate::domain::verdict::Phase;

pub(super) fn payload(delivery: &Delivery, labels: &BTreeMap<String, String>) -> Payload {
    let alerts: Vec<Value> = match delivery {
        Delivery::Alerts { messages, until } => {
            messages.iter().map(|message| alert(message, &until.to_string(), labels)).collect()
        }
        // An Alertmanager gets all alerts at once.
        Delivery::One(_) | Delivery::Digest(_) => Vec::new(),
        Delivery::Test { notifier, at, .. } => {
            let own = [("alertname", "KsitTest"), ("namespace", notifier.namespace()), ("notifier", notifier.name())];
            let text = "A test message of ksit. It ends by itself.";
            let ends = (*at + std::time::Duration::from_secs(60)).to_string();
            vec![json!({ "labels": with(own, labels, "none"), "annotations": { "summary": text },
                "startsAt": at.to_string(), "endsAt": ends })]
        }
    };
    Payload::json("application/json", &Value::Array(alerts))
}

fn alert(message: &Message, until: &str, labels: &BTreeMap<String, String>) -> Value {
    let cause = &message.cause;
    let mut own = vec![
        ("alertname", name(message)),
        ("namespace", message.notifier.namespace()),
        ("notifier", message.notifier.name()),
        ("phase", cause.phase.as_str()),
        ("reason", cause.reason.as_str()),
    ];
    own.extend(cause.integration.as_deref().map(|integration| ("integration", integration)));
    own.extend(message.type_name.as_deref().map(|type_name| ("type", type_name)));
    let severity = if cause.phase == Phase::Failed { "critical" } else { "warning" };
    let ends = message.ended.map_or_else(|| until.to_owned(), |ended| ended.to_string());
    // The title of an alert that has ended is that of the alert.
    let kind = if message.kind == Kind::Resolved { Kind::Resolved } else { Kind::Opened };
    json!({
        "labels": with(own, labels, severity),
        "annotations": {
            "summary": title(&Message { kind, ..message.clone() }),
            "description": format!("{}; {}. `{}` shows more.", clusters(message), details(message), command(message)),
            "clusters": message.clusters.to_string(),
            "key": message.key,
        },
        "startsAt": message.since.to_string(),
        "endsAt": ends,
    })
}

fn with<'a>(
    own: impl IntoIterator<Item = (&'a str, &'a str)>,
    more: &BTreeMap<String, String>,
    severity: &str,
) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    labels.insert("severity".to_owned(), severity.to_owned());
    labels.extend(more.clone());
    labels
}

fn name(message: &Message) -> &'static str {
    match (&message.cause.integration, message.cause.phase) {
        (None, Phase::Unknown) => "KsitClustersUnknown",
        (None, _) => "KsitClustersUnreachable",
        (Some(_), Phase::Degraded) => "KsitToolDegradedOnClusters",
        (Some(_), Phase::Unknown) => "KsitToolUnknownOnClusters",
        (Some(_), _) => "KsitToolFailedOnClusters",
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::test_kit::message;
    use super::*;

    fn alerts(messages: Vec<Message>, labels: &BTreeMap<String, String>) -> Vec<Value> {
        let until = "2027-01-15T08:10:00Z".parse().unwrap();
        serde_json::from_slice(&payload(&Delivery::Alerts { messages, until }, labels).body).unwrap()
    }

    #[test]
    fn labels_are_the_same_from_start_to_end() {
        let none = BTreeMap::new();
        let opened = alerts(vec![message(Kind::Opened, Some("cd"))], &none).remove(0);
        let grown = alerts(vec![Message { clusters: 900, ..message(Kind::Reminder, Some("cd")) }], &none).remove(0);
        let ended = alerts(vec![message(Kind::Resolved, Some("cd"))], &none).remove(0);
        assert!(opened["labels"] == grown["labels"] && opened["labels"] == ended["labels"]);
        assert_eq!(
            opened["labels"],
            json!({"alertname": "KsitToolFailedOnClusters", "namespace": "fleet",
            "notifier": "chat", "integration": "cd", "type": "argocd", "phase": "Failed", "reason": "ComponentAbsent",
            "severity": "critical"})
        );
        assert_eq!(
            (&opened["annotations"]["clusters"], &grown["annotations"]["clusters"]),
            (&json!("200"), &json!("900"))
        );
        assert_eq!(
            (&opened["endsAt"], &ended["endsAt"]),
            (&json!("2027-01-15T08:10:00Z"), &json!("2027-01-15T08:10:00Z"))
        );
    }

    #[test]
    fn user_adds_and_replaces_labels() {
        let labels = [("team".to_owned(), "a".to_owned()), ("severity".to_owned(), "page".to_owned())].into();
        let alert = alerts(vec![message(Kind::Opened, None)], &labels).remove(0);
        assert_eq!((&alert["labels"]["team"], &alert["labels"]["severity"]), (&json!("a"), &json!("page")));
        assert_eq!(alert["labels"]["alertname"], "KsitClustersUnreachable");
        assert!(alert["labels"].get("integration").is_none());
    }
}
