//! Messages for an incoming webhook of Slack: `text` for notifications, `blocks` for the channel.
//!
//! Form and limits: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
//! <https://docs.slack.dev/reference/block-kit/blocks/section-block>.

use serde_json::{Value, json};

use super::Payload;
use super::text::{clusters, command, details, title};
use crate::domain::notify::{Delivery, Kind, Message};

/// Characters of a section, of which Slack takes 3,000.
const SECTION: usize = 2_900;

pub(super) fn payload(delivery: &Delivery) -> Payload {
    let (text, sections) = match delivery {
        Delivery::One(message) => (headline(message), vec![format!("*{}*\n{}", headline(message), body(message))]),
        Delivery::Digest(messages) | Delivery::Alerts { messages, .. } => {
            let text = format!("{} messages of ksit in one", messages.len());
            let lines = messages.iter().map(|message| format!("• {}", headline(message)));
            let sections = sections(std::iter::once(format!("*{text}*")).chain(lines));
            (text, sections)
        }
        Delivery::Test { notifier, .. } => {
            let text = format!("A test message of ksit: Notifier {}", escaped(&notifier.to_string()));
            (text.clone(), vec![text])
        }
    };
    let section = |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let blocks: Vec<Value> = sections.into_iter().map(section).collect();
    Payload::json("application/json", &json!({ "text": text, "blocks": blocks }))
}

fn headline(message: &Message) -> String {
    let symbol = if message.kind == Kind::Resolved { ":white_check_mark:" } else { ":rotating_light:" };
    format!("{symbol} {}", escaped(&title(message)))
}

fn body(message: &Message) -> String {
    format!("{}\n_{}_\n`{}`", escaped(&clusters(message)), escaped(&details(message)), escaped(&command(message)))
}

/// The three characters that Slack reads as control.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Lines in as many sections as they need.
fn sections(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    for line in lines {
        match sections.last_mut() {
            Some(last) if last.chars().count() + line.chars().count() < SECTION => {
                last.push('\n');
                last.push_str(&line);
            }
            _ => sections.push(line),
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::super::text::test_kit::message;
    use super::*;

    fn read(delivery: &Delivery) -> Value {
        serde_json::from_slice(&payload(delivery).body).unwrap()
    }

    #[test]
    fn message_has_text_and_one_section() {
        let shown = read(&Delivery::One(Box::new(message(Kind::Opened, Some("cd")))));
        assert_eq!(shown["text"], ":rotating_light: cd is Failed on 200 clusters: ComponentAbsent");
        let section = shown["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(section.contains("c1, c2 and 198 more") && section.contains("`ksit problems -n fleet`"), "{section}");
        assert_eq!(shown["blocks"][0]["text"]["type"], "mrkdwn");
    }

    #[test]
    fn names_do_not_mention_channels() {
        let names = vec!["<!channel> & <@U1>".to_owned()];
        let shown = read(&Delivery::One(Box::new(Message { names, ..message(Kind::Opened, Some("cd")) })));
        let section = shown["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(section.contains("&lt;!channel&gt; &amp; &lt;@U1&gt;") && !section.contains("<!"), "{section}");
    }

    #[test]
    fn largest_digest_keeps_to_the_limits() {
        let longest = "x".repeat(253);
        let shown = read(&Delivery::Digest(vec![message(Kind::Opened, Some(&longest)); 100]));
        let blocks = shown["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50, "{}", blocks.len());
        assert!(blocks.iter().all(|block| block["text"]["text"].as_str().unwrap().chars().count() <= 3_000));
    }
}
