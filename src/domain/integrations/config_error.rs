//! Errors in `spec.config`, with messages that name the valid alternatives.

use strsim::levenshtein;
use thiserror::Error;

/// Each variant names the key. Values of unknown keys are not quoted, as they might be secrets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the fields are the words of the messages")]
pub enum ConfigError {
    #[error(
        "config has no key {}{}; the keys are {keys}; <component> is one of {components}",
        shown(.key), meant(.nearest)
    )]
    UnknownKey { key: String, nearest: Option<String>, keys: &'static str, components: String },

    #[error(
        "config key {} names {}, which is no component of {tool}{}; the components are {components}",
        shown(.key), shown(.component), meant(.nearest)
    )]
    UnknownComponent { key: String, component: String, tool: String, nearest: Option<String>, components: String },

    #[error(
        "config key {} names {}, which the tool does not manage{}; the kinds are {kinds}",
        shown(.key), shown(.kind), meant(.nearest)
    )]
    UnknownKind { key: String, kind: String, nearest: Option<String>, kinds: String },

    #[error("config key {} is {}, but must be {expected}", shown(.key), shown(.value))]
    BadValue { key: String, value: String, expected: &'static str },

    #[error("config key {} has no meaning here: nothing of the tool has what it sets", shown(.key))]
    NoMeaning { key: String },

    #[error("config names {component} under both `{one}` and `{other}`")]
    Contradiction { component: String, one: &'static str, other: &'static str },

    #[error("config key `ignore` leaves no component of {tool} to check")]
    NothingLeft { tool: String },
}

/// Quotes the user's text, truncated if it is so long that it would hide the message.
fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// ` (did you mean "argocd"?)`, if there is a word near enough.
pub(crate) fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |word| format!(" (did you mean {word:?}?)"))
}

/// The candidate with the fewest edits, if it is close enough to be a typo.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // A longer text is no typo, and comparing it would cost time and memory.
    if word.len() > 128 {
        return None;
    }
    let word = word.to_lowercase();
    let longest = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (levenshtein(&word, &candidate.to_lowercase()), candidate))
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, _)| *edits <= longest)
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestion_is_close_to_the_word() {
        let words = ["namespace", "minReady", "required", "name.argocd-server"];
        assert_eq!(nearest("namspace", words).as_deref(), Some("namespace"));
        assert_eq!(nearest("minready", words).as_deref(), Some("minReady"));
        assert_eq!(nearest("name.argocd-sever", words).as_deref(), Some("name.argocd-server"));
        assert_eq!(nearest("replicas", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest(&"x".repeat(100_000), words), None);
    }

    #[test]
    fn long_text_is_truncated_between_characters() {
        let error = ConfigError::BadValue { key: "namespace".into(), value: "ä".repeat(500), expected: "short" };
        assert!(error.to_string().chars().count() < 150, "{error}");
    }
}
