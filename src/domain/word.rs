//! Names that another version of ksit gives to a reason, a phase, a state or a kind. They are carried through as they
//! are: two versions talk to each other during a roll.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Bytes of the longest.
const LONGEST: usize = 64;

/// Distinct words that a process keeps, for ever. No version has as many; a sender at fault may.
const MOST: usize = 256;

static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// A name in `CamelCase`, as the reason of a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(&'static str);

impl Word {
    /// `None` for what is no such name. One too many is called `Other`.
    pub fn of(text: &str) -> Option<Self> {
        let is_word = text.len() <= LONGEST
            && text.starts_with(|first: char| first.is_ascii_uppercase())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_word {
            return None;
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(word) = known.get(text) {
            return Some(Self(word));
        }
        if known.len() >= MOST {
            return Some(Self("Other"));
        }
        let word: &'static str = Box::leak(text.into());
        known.insert(word);
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
    fn only_names_are_words() {
        assert_eq!(Word::of("BackOff2").map(Word::as_str), Some("BackOff2"));
        let longest = "A".repeat(LONGEST);
        assert_eq!(Word::of(&longest).map(Word::as_str), Some(longest.as_str()));
        for text in ["", "lower", "2nd", "Two words", "Line\nbreak", "Ünlike", "A\u{1b}[2J", &"A".repeat(LONGEST + 1)]
        {
            assert_eq!(Word::of(text), None, "{text:?}");
        }
    }
}
