//! Texts of a status: escaped for whoever reads them with `-o jsonpath` or in a dashboard, and of bounded length.

use crate::domain::escape::escape;

/// Characters of a message. Some messages hold names that a cluster chose.
const LONGEST_MESSAGE: usize = 1_024;

/// Characters of the column that `kubectl get` shows.
const LONGEST_BRIEF: usize = 80;

pub(super) fn cut(message: &str) -> String {
    let message = escape(message);
    match message.char_indices().nth(LONGEST_MESSAGE) {
        None => message.into_owned(),
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}

/// The message cut at a word. A condition has all of it.
pub(super) fn brief(message: &str) -> String {
    let message = escape(message);
    if message.chars().nth(LONGEST_BRIEF).is_none() {
        return message.into_owned();
    }
    let kept: String = message.chars().take(LONGEST_BRIEF - 1).collect();
    let end = kept.rfind(' ').filter(|end| *end > 0).unwrap_or(kept.len());
    format!("{}…", kept[..end].trim_end_matches([' ', ',', ';', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_column_is_cut_at_a_word() {
        let whole = "a".repeat(80);
        assert_eq!(brief(&whole), whole);
        let long =
            "0/1 clusters healthy; one: 3/4 components healthy: Deployment flux-system/helm-controller is scaled to 0";
        assert_eq!(brief(long), "0/1 clusters healthy; one: 3/4 components healthy: Deployment…");
        assert_eq!(brief(&"ü".repeat(90)), format!("{}…", "ü".repeat(79)));
        assert_eq!(brief(&format!("{}; and more of it", "b".repeat(77))), format!("{}…", "b".repeat(77)));
    }
}
