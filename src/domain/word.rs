//! Interns reasons, phases, states and kinds of other ksit versions, which are passed through unchanged: two versions
//! communicate during a rollout.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Upper bound of a word, in bytes.
const MAX_LENGTH: usize = 64;

/// Upper bound of distinct words, which are never freed. No version has as many, but a faulty sender may.
const MAX_WORDS: usize = 256;

static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// A name in `CamelCase`, like the reason of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(&'static str);

impl Word {
    /// `None` if `text` is not such a name. `Other` once there are too many.
    pub fn of(text: &str) -> Option<Self> {
        let is_word = text.len() <= MAX_LENGTH
            && text.starts_with(|first: char| first.is_ascii_uppercase())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_word {
            return None;
        }
        let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(word) = words.get(text) {
            return Some(Self(word));
        }
        if words.len() >= MAX_WORDS {
            return Some(Self("Other"));
        }
        let word: &'static str = Box::leak(text.into());
        words.insert(word);
        Some(Self(word))
    }

    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_accepts_camel_case_names_only() {
        assert_eq!(Word::of("BackOff2").map(Word::as_str), Some("BackOff2"));
        let longest = "A".repeat(MAX_LENGTH);
        assert_eq!(Word::of(&longest).map(Word::as_str), Some(longest.as_str()));
        for text in
            ["", "lower", "2nd", "Two words", "Line\nbreak", "Ünlike", "A\u{1b}[2J", &"A".repeat(MAX_LENGTH + 1)]
        {
            assert_eq!(Word::of(text), None, "{text:?}");
        }
    }
}
