//! Words for people, the same for every kind of receiver.

use crate::domain::escape::escape;
use crate::domain::notify::{Cause, Kind, Message};
use crate::domain::verdict::Phase;

/// Characters of a cluster's name that are shown.
const LONGEST_NAME: usize = 80;

/// `argocd is Failed on 200 clusters: ComponentAbsent`.
pub(super) fn title(message: &Message) -> String {
    let Message { kind, cause, clusters, .. } = message;
    let many = if *clusters == 1 { "1 cluster".to_owned() } else { format!("{clusters} clusters") };
    let reason = cause.reason.as_str();
    let is_over = *kind == Kind::Resolved;
    let fault = match (&cause.integration, cause.phase, is_over) {
        (Some(tool), phase, false) => format!("{} is {} on {many}: {reason}", escape(tool), phase.as_str()),
        (Some(tool), phase, true) => format!("{} was {} on {many}: {reason}", escape(tool), phase.as_str()),
        (None, Phase::Unknown, false) => format!("nothing is known of {many}: {reason}"),
        (None, Phase::Unknown, true) => format!("nothing was known of {many}: {reason}"),
        (None, _, false) => format!("{many} can't be read: {reason}"),
        (None, _, true) => format!("{many} could not be read: {reason}"),
    };
    match kind {
        Kind::Opened | Kind::Grown => fault,
        Kind::Reminder => format!("still: {fault}"),
        Kind::Resolved if !message.others.is_empty() => format!("changed: {fault}; now {}", others(message)),
        Kind::Resolved => format!("recovered: {fault}"),
    }
}

/// `Failed on 3: ComponentNotReady`.
fn others(message: &Message) -> String {
    let other =
        |(cause, clusters): &(Cause, u32)| format!("{} on {clusters}: {}", cause.phase.as_str(), cause.reason.as_str());
    message.others.iter().take(3).map(other).collect::<Vec<_>>().join(", ")
}

/// `c1, c2 and 198 more`.
pub(super) fn clusters(message: &Message) -> String {
    let short = |name: &String| -> String { escape(name).chars().take(LONGEST_NAME).collect() };
    let names: Vec<String> = message.names.iter().map(short).collect();
    let more = (message.clusters as usize).saturating_sub(names.len());
    match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

/// `namespace fleet, type argocd, since 2026-03-29T01:00:00Z`.
pub(super) fn details(message: &Message) -> String {
    let type_name = message.type_name.as_deref().map(|name| format!(", type {}", escape(name))).unwrap_or_default();
    let ended = message.ended.map(|ended| format!(" until {}", seconds(ended))).unwrap_or_default();
    format!("namespace {}{type_name}, since {}{ended}", message.notifier.namespace(), seconds(message.since))
}

/// A command that shows more.
pub(super) fn command(message: &Message) -> String {
    match &message.cause.integration {
        Some(_) => format!("ksit problems -n {}", message.notifier.namespace()),
        None => format!("ksit fleet -n {} -o wide", message.notifier.namespace()),
    }
}

fn seconds(time: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

#[cfg(test)]
pub(super) mod test_kit {
    use jiff::Timestamp;

    use crate::domain::keys::NotifierKey;
    use crate::domain::notify::{Cause, Kind, Message};
    use crate::domain::reason::Reason;
    use crate::domain::verdict::Phase;

    /// A message about `cd` on 200 clusters, or about as many that can't be read.
    pub(in crate::receivers) fn message(kind: Kind, integration: Option<&str>) -> Message {
        let at = |second| Timestamp::from_second(second).unwrap();
        Message {
            id: format!("00ff-1-{}", kind.as_str()),
            key: "00ff".to_owned(),
            kind,
            notifier: NotifierKey::new("fleet", "chat"),
            cause: Cause {
                integration: integration.map(str::to_owned),
                phase: Phase::Failed,
                reason: Reason::ComponentAbsent,
            },
            type_name: integration.map(|_| "argocd".to_owned()),
            clusters: 200,
            names: vec!["c1".to_owned(), "c2".to_owned()],
            others: Vec::new(),
            since: at(1_800_000_000),
            ended: (kind == Kind::Resolved).then(|| at(1_800_000_600)),
            at: at(1_800_000_120),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::test_kit::message;
    use super::*;

    #[test]
    fn title_says_tool_phase_count_and_reason() {
        for (kind, integration, words) in [
            (Kind::Opened, Some("cd"), "cd is Failed on 200 clusters: ComponentAbsent"),
            (Kind::Reminder, Some("cd"), "still: cd is Failed on 200 clusters: ComponentAbsent"),
            (Kind::Resolved, Some("cd"), "recovered: cd was Failed on 200 clusters: ComponentAbsent"),
            (Kind::Opened, None, "200 clusters can't be read: ComponentAbsent"),
        ] {
            assert_eq!(title(&message(kind, integration)), words);
        }
        let ended = message(Kind::Resolved, Some("cd"));
        let other = crate::domain::notify::Cause {
            reason: crate::domain::reason::Reason::NamespaceMissing,
            ..ended.cause.clone()
        };
        let words = "changed: cd was Failed on 200 clusters: ComponentAbsent; now Failed on 3: NamespaceMissing";
        assert_eq!(title(&Message { others: vec![(other, 3)], ..ended }), words);
        let one = Message { clusters: 1, names: vec!["c1".to_owned()], ..message(Kind::Opened, Some("cd")) };
        assert_eq!(
            (title(&one).as_str(), clusters(&one).as_str()),
            ("cd is Failed on 1 cluster: ComponentAbsent", "c1")
        );
    }

    #[test]
    fn hostile_names_of_clusters_are_escaped_and_cut() {
        let names = vec!["a\u{202e}b\n".to_owned(), "x".repeat(253)];
        let shown = clusters(&Message { names, ..message(Kind::Opened, Some("cd")) });
        assert!(shown.starts_with("a\\u{202e}b\\n, xxx") && shown.len() < 150, "{shown}");
        assert!(shown.ends_with(" and 198 more"), "{shown}");
    }
}
