//! Versions of tools, and the ranges that users want.

use std::fmt;

use semver::{Version, VersionReq};

/// A range such as `>=2.11.0 <3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    text: String,
    required: VersionReq,
}

impl VersionRange {
    /// Parses comparators that all must hold, separated by spaces or commas.
    ///
    /// # Errors
    /// If the text is no such range.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The crate wants commas, where Helm and npm take spaces.
        let separated = separate(text);
        let required = VersionReq::parse(&separated).map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), required })
    }

    /// Whether the version is in the range; `None` if it is no version with three numbers or fewer.
    pub fn contains(&self, version: &str) -> Option<bool> {
        parse(version).map(|version| self.required.matches(&version))
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `>=2.11.0 <3` as `>=2.11.0, <3`, and `>= 2.11.0` as `>=2.11.0`.
fn separate(text: &str) -> String {
    let mut comparators: Vec<String> = Vec::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        match comparators.last_mut() {
            Some(last) if last.ends_with(['<', '>', '=', '^', '~']) => last.push_str(word),
            _ => comparators.push(word.to_owned()),
        }
    }
    comparators.join(", ")
}

/// A version of one to three numbers, with a pre-release and a build or without.
fn parse(text: &str) -> Option<Version> {
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let missing = 3_usize.checked_sub(numbers.split('.').count())?;
    Version::parse(&format!("{numbers}{}{rest}", ".0".repeat(missing))).ok()
}

/// Sorts versions by number, oldest first; texts that are no versions come first, by name.
pub fn order(one: &str, other: &str) -> std::cmp::Ordering {
    parse(one).cmp(&parse(other)).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_written_as_users_write_it() {
        for (range, inside, outside) in [
            (">=2.11.0 <3", "2.13.1", "3.0.0"),
            (">= 2.11.0, < 3", "2.11.0", "2.10.9"),
            ("^1.2", "1.9", "2.0"),
            ("~1.2.3", "1.2.9", "1.3.0"),
            ("1.2.*", "1.2.7", "1.3"),
            ("*", "0.0.1-rc1", ""),
        ] {
            let parsed = VersionRange::parse(range).unwrap();
            let found = (parsed.contains(inside), parsed.contains(outside));
            assert!(found.0 == Some(true) || range == "*", "{range}: {inside}");
            assert_ne!(found.1, Some(true), "{range}: {outside}");
        }
        for bad in ["", "newest", ">=", ">=a", "1.2.3.4"] {
            assert!(VersionRange::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(VersionRange::parse("*").unwrap().contains("latest"), None);
    }

    #[test]
    fn versions_are_sorted_by_number() {
        let mut all = ["2.10.0", "2.9.1", "latest", "2.10.0-rc1", "1"];
        all.sort_by(|one, other| order(one, other));
        assert_eq!(all, ["latest", "1", "2.9.1", "2.10.0-rc1", "2.10.0"]);
    }
}
