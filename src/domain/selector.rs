//! A label selector with Kubernetes semantics.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// All requirements must hold. An empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    In(String, BTreeSet<String>),
    /// Also true if the label is absent, as in Kubernetes.
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}

/// Parses selectors as `kubectl -l` does: `env=prod,tier!=test,zone in (a,b),!old`.
impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = split_outside_of_parentheses(text);
        parts
            .into_iter()
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(requirement)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn split_outside_of_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
    let key = |key: &str| {
        let key = key.trim();
        let is_valid = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let valid = !key.is_empty() && key.chars().all(is_valid);
        valid.then(|| key.to_owned()).ok_or_else(|| format!("{part:?} is no label selector: write it as env=prod"))
    };
    if let Some((before, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let values: BTreeSet<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        let words: Vec<&str> = before.split_whitespace().collect();
        return match words[..] {
            [name, "in"] => Ok(Requirement::In(key(name)?, values)),
            [name, "notin"] => Ok(Requirement::NotIn(key(name)?, values)),
            _ => Err(format!("{part:?} is no label selector: write it as env in (prod,test)")),
        };
    }
    if let Some((name, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(key(name)?, one(value)));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(key(name)?, one(value)));
    }
    match part.strip_prefix('!') {
        Some(name) => Ok(Requirement::DoesNotExist(key(name)?)),
        None => Ok(Requirement::Exists(key(part)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn values(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn selector_matches_as_in_kubernetes() {
        let env = || "env".to_owned();
        let prod = labels(&[("env", "prod")]);
        let rows = [
            (Selector::default(), true, true),
            (Selector(vec![Requirement::In(env(), values(&["prod", "qa"]))]), true, false),
            (Selector(vec![Requirement::NotIn(env(), values(&["prod"]))]), false, true),
            (Selector(vec![Requirement::Exists(env())]), true, false),
            (Selector(vec![Requirement::DoesNotExist(env())]), false, true),
            (Selector(vec![Requirement::Exists(env()), Requirement::In(env(), values(&["qa"]))]), false, false),
        ];
        for (selector, with_label, without) in rows {
            assert_eq!(selector.matches(&prod), with_label, "{selector:?}");
            assert_eq!(selector.matches(&labels(&[])), without, "{selector:?}");
        }
    }

    #[test]
    fn text_is_parsed_as_by_kubectl() {
        let prod = labels(&[("env", "prod"), ("tier", "")]);
        let rows = [
            ("", true),
            ("env=prod", true),
            ("env==prod , tier", true),
            ("env=prod,tier!=test", true),
            ("env in (test, prod),!old", true),
            ("env notin (test,prod)", false),
            ("!env", false),
            ("tier=", true),
        ];
        for (text, matches) in rows {
            assert_eq!(text.parse::<Selector>().unwrap().matches(&prod), matches, "{text}");
        }
        for text in ["=prod", "env of (a)", "a b", "env in (a", "in (a)"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
