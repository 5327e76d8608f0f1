//! A label selector with Kubernetes semantics.

use std::collections::{BTreeMap, BTreeSet};

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
}
