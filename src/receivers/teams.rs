//! Adaptive cards for a Workflow of Microsoft Teams that starts with "When a Teams webhook request is received".
//!
//! Form and limits: <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>.

use serde_json::{Value, json};

use super::Payload;
use super::text::{clusters, command, details, title};
use crate::domain::notify::{Delivery, Kind, Message};

/// Causes that a digest names: a card may have 28 KB.
const NAMED: usize = 50;

pub(super) fn payload(delivery: &Delivery) -> Payload {
    let body = match delivery {
        Delivery::One(message) => {
            let color = if message.kind == Kind::Resolved { "Good" } else { "Attention" };
            vec![
                heading(&title(message), color),
                line(&clusters(message)),
                line(&details(message)),
                line(&command(message)),
            ]
        }
        Delivery::Digest(messages) | Delivery::Alerts { messages, .. } => digest(messages),
        Delivery::Test { notifier, .. } => {
            vec![heading(&format!("A test message of ksit: Notifier {notifier}"), "Default")]
        }
    };
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    let attachment =
        json!({ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card });
    Payload::json("application/json", &json!({ "type": "message", "attachments": [attachment] }))
}

fn digest(messages: &[Message]) -> Vec<Value> {
    let mut body = vec![heading(&format!("{} messages of ksit in one", messages.len()), "Attention")];
    body.extend(messages.iter().take(NAMED).map(|message| line(&title(message))));
    if messages.len() > NAMED {
        body.push(line(&format!("and {} more", messages.len() - NAMED)));
    }
    body
}

fn heading(text: &str, color: &str) -> Value {
    json!({ "type": "TextBlock", "text": plain(text), "weight": "Bolder", "size": "Medium", "color": color, "wrap": true })
}

fn line(text: &str) -> Value {
    json!({ "type": "TextBlock", "text": plain(text), "wrap": true })
}

/// A TextBlock reads Markdown: a name must not become a link or a heading.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '[' | ']' | '`' | '#' | '<' | '>' | '!') {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::text::test_kit::message;
    use super::*;

    fn read(delivery: &Delivery) -> (Value, usize) {
        let body = payload(delivery).body;
        (serde_json::from_slice(&body).unwrap(), body.len())
    }

    #[test]
    fn message_is_one_adaptive_card() {
        let (shown, _) = read(&Delivery::One(Box::new(message(Kind::Resolved, Some("cd")))));
        let attachment = &shown["attachments"][0];
        assert_eq!(
            (&shown["type"], &attachment["contentType"]),
            (&json!("message"), &json!("application/vnd.microsoft.card.adaptive"))
        );
        let heading = &attachment["content"]["body"][0];
        assert_eq!((heading["color"].as_str(), heading["type"].as_str()), (Some("Good"), Some("TextBlock")));
        assert_eq!(heading["text"], "recovered: cd was Failed on 200 clusters: ComponentAbsent");
    }

    #[test]
    fn names_are_no_markdown() {
        let names = vec!["[a](https://evil.example)".to_owned()];
        let (shown, _) = read(&Delivery::One(Box::new(Message { names, ..message(Kind::Opened, Some("cd")) })));
        let line = shown["attachments"][0]["content"]["body"][1]["text"].as_str().unwrap();
        assert!(line.starts_with("\\[a\\](https"), "{line}");
    }

    #[test]
    fn largest_digest_keeps_to_the_limit() {
        let longest = "x".repeat(253);
        let (_, bytes) = read(&Delivery::Digest(vec![message(Kind::Opened, Some(&longest)); 100]));
        assert!(bytes < 28 * 1_024, "{bytes} bytes");
    }
}
