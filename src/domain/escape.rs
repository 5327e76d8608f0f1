//! Escapes text from clusters and users, so that it can't move the cursor, hide or reorder anything on a terminal.

use std::borrow::Cow;

/// Invisible characters that affect how other text is displayed.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes one line: invisible characters become `\n`, `\t` or `\u{1b}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_with(text, visible, |_| false)
}

/// Escapes several lines, and keeps line feeds.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_with(text, visible, |c| c == '\n')
}

fn visible(c: char) -> String {
    match c {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        _ => c.escape_unicode().to_string(),
    }
}

/// Escapes JSON, in which such characters occur only within strings, with JSON's own escapes.
pub fn escape_json(text: &str) -> Cow<'_, str> {
    let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    escape_with(text, units, |c| c == '\n')
}

fn escape_with(text: &str, escaped: impl Fn(char) -> String, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_replaced = |c: char| is_invisible(c) && !keep(c);
    if !text.contains(is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_replaced(c) { safe.push_str(&escaped(c)) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        assert_eq!(escape("\u{1b}[2J\r\n\t\0\u{9b}31m"), r"\u{1b}[2J\r\n\t\u{0}\u{9b}31m");
        assert_eq!(escape("root\u{202e}gnp.exe\u{200b}\u{2028}"), r"root\u{202e}gnp.exe\u{200b}\u{2028}");
        assert_eq!(escape_lines("a\nb\tc"), "a\nb\\tc");
        for plain in ["arn:aws:eks:eu-west-1:1:cluster/x", "user@host", "Köln 東京 🚀", r"C:\new"] {
            assert!(matches!(escape(plain), Cow::Borrowed(text) if text == plain), "{plain}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_has_no_invisible_characters(text: String) {
            prop_assert!(!escape(&text).contains(is_invisible));
            prop_assert!(!escape_lines(&text).contains(|c| c != '\n' && is_invisible(c)));
        }

        #[test]
        fn escaped_json_parses_to_the_same_value(text: String) {
            let json = serde_json::to_string_pretty(&[&text]).unwrap();
            let safe = escape_json(&json);
            prop_assert!(!safe.contains(|c| c != '\n' && is_invisible(c)));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), [text]);
        }
    }
}
