//! Refuses retired words, and comments and sentences that begin with a word that hides their subject. `docs/glossary.md` has both
//! lists for people.

use std::fs;
use std::path::PathBuf;

use crate::{docs, files, root};

/// Retired forms and their replacement. Forms are in lower case with spaces, as `words` returns them: `half speed`
/// covers `HalfSpeed` too.
const RETIRED: &[(&[&str], &str)] = &[
    (&["mailbox", "letterbox"], "coalescing queue"),
    (&["bell", "rope", "rung"], "wake flag, waker"),
    (&["janitor", "chore", "chores"], "metadata repair, repair task"),
    (&["half speed"], "duty cycle"),
    (&["skim"], "strip unused"),
    (&["neighbour", "neighbours"], "other installation; or what is beside it, by name"),
    (&["sighting"], "target object"),
    (&["saying"], "report update; or say what the message is"),
    (&["spoilt"], "drifted, or changed by somebody else"),
    (&["reign", "reigns", "reigning"], "term"),
    (&["giant", "giants"], "oversized"),
    (&["is said", "is told", "who is told"], "the subject and an active verb: report, write, log, know"),
    (&["looks after"], "owns, observes"),
];

/// A comment or sentence that begins with one of these puts its subject last.
const HEADS: [&str; 6] = ["What", "Who", "Of", "Whoever", "Whose", "So that"];

/// Most findings that a failure prints.
const SHOWN: usize = 60;

/// The words of a line in lower case, with a space around each. Splits identifiers.
fn words(line: &str) -> String {
    let mut words = String::from(" ");
    let mut former = ' ';
    for letter in line.chars() {
        let begins = former.is_lowercase() && letter.is_uppercase();
        if (begins || !letter.is_alphanumeric()) && !words.ends_with(' ') {
            words.push(' ');
        }
        if letter.is_alphanumeric() {
            words.extend(letter.to_lowercase());
        }
        former = letter;
    }
    words.push(' ');
    words
}

/// Each retired word in a line, and its replacement.
fn retired(line: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let words = words(line);
    let forms = RETIRED.iter().flat_map(|(forms, replacement)| forms.iter().map(move |form| (*form, *replacement)));
    forms.filter(move |(form, _)| words.contains(&format!(" {form} ")))
}

/// The bad first word of a line that is a comment.
fn bad_head(line: &str) -> Option<&'static str> {
    let comment = line.trim_start().strip_prefix("//")?;
    let text = comment.strip_prefix(['/', '!']).unwrap_or(comment).trim_start();
    let is_head = |head: &&str| {
        text.strip_prefix(head).is_some_and(|rest| rest.chars().next().is_none_or(|next| !next.is_alphanumeric()))
    };
    HEADS.into_iter().find(is_head)
}

fn assert_none(found: &[String], rule: &str) {
    let shown = found.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(found.is_empty(), "{} lines {rule} (docs/glossary.md). The first:\n{shown}", found.len());
}

#[test]
fn retired_words_are_not_used() {
    let mut found = Vec::new();
    // The glossary lists retired words itself.
    let docs = docs().into_iter().filter(|page| !page.ends_with("glossary.md"));
    let pages = ["README.md", "CONTRIBUTING.md", "examples/README.md"].map(PathBuf::from);
    for path in files("src").into_iter().chain(files("chart")).chain(docs).chain(pages) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for (number, line) in text.lines().enumerate() {
            for (word, replacement) in retired(line) {
                found.push(format!("{}:{}: {word:?}; write: {replacement}", path.display(), number + 1));
            }
        }
    }
    assert_none(&found, "use a retired word");
}

#[test]
fn comments_begin_with_their_subject() {
    let mut found = Vec::new();
    for path in files("src").into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for (number, line) in text.lines().enumerate() {
            if let Some(head) = bad_head(line) {
                found.push(format!("{}:{}: {head:?}; begin with the thing", path.display(), number + 1));
            }
        }
    }
    assert_none(&found, "begin a comment with its object");
}

/// The sentences of a page outside of code blocks, without emphasis.
fn sentences(page: &str) -> Vec<String> {
    let prose = page.split("```").step_by(2).collect::<Vec<_>>().join("\n\n");
    // A list item and a table cell begin a sentence too.
    let blocks = prose.replace("\n- ", "\n\n").replace(" | ", "\n\n").replace("\n|", "\n\n").replace("**", "");
    let blocks = blocks.split("\n\n").map(|block| block.split_whitespace().collect::<Vec<_>>().join(" "));
    let sentences =
        blocks.flat_map(|block| block.split_inclusive(['.', '?', '!', ':']).map(str::to_owned).collect::<Vec<_>>());
    sentences.map(|sentence| sentence.trim().to_owned()).collect()
}

/// The bad first word of a sentence that is no question.
fn bad_start(sentence: &str) -> bool {
    let is_head = |head: &&str| sentence.strip_prefix(*head).is_some_and(|rest| rest.starts_with(' '));
    HEADS.iter().any(is_head) && !sentence.ends_with('?')
}

#[test]
fn sentences_begin_with_their_subject() {
    let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "chart/README.md", "examples/README.md"];
    let mut found = Vec::new();
    for page in pages.map(PathBuf::from).into_iter().chain(docs()) {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        let bad = sentences(&text).into_iter().filter(|sentence| bad_start(sentence));
        found.extend(bad.map(|sentence| format!("{}: {sentence}", page.display())));
    }
    assert_none(&found, "begin a sentence with its object");
}

#[test]
fn sentences_are_found_in_lists_and_tables() {
    let page =
        "One. What it is comes last.\n- **Whoever reads** it\n\n| a | Of all |\n\nWhat is it?\n```sh\nWhat now\n```\n";
    let bad: Vec<String> = sentences(page).into_iter().filter(|sentence| bad_start(sentence)).collect();
    assert_eq!(bad, ["What it is comes last.", "Whoever reads it", "Of all |"]);
}

#[test]
fn retired_words_are_found_in_prose_and_identifiers() {
    for line in ["at half speed", "half-speed", "fn half_speed()", "struct HalfSpeed;", "static HALF_SPEED"] {
        assert_eq!(retired(line).map(|(word, _)| word).collect::<Vec<_>>(), ["half speed"], "{line}");
    }
    for line in ["it was said before", "sovereign", "Campbell and Hope", "a disk image"] {
        assert_eq!(retired(line).count(), 0, "{line}");
    }
    assert_eq!(
        ["/// What it is", "//! Of all", "// So that"].map(bad_head),
        [Some("What"), Some("Of"), Some("So that")]
    );
    assert_eq!(["/// Whatever", "let what = 1; // What", "/// The Who"].map(bad_head), [None; 3]);
}
