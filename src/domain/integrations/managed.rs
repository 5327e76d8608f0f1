//! Applies `config` to the kinds of objects that a tool manages.

use super::config_error::{ConfigError, nearest};
use super::names::check_label;
use crate::domain::managed::{FailWhen, ManagedKind};

/// Upper bound of namespaces in which the objects of one kind are read: each is a list that is watched.
const MAX_NAMESPACES: usize = 8;

/// Sets the number of failing objects at which the tool fails, for one kind or for all.
pub(super) fn fail_when(
    kinds: &mut [ManagedKind],
    key: &str,
    kind: Option<&str>,
    value: &str,
) -> Result<(), ConfigError> {
    let expected = "never, a whole number from 1, or a percentage such as 10%";
    let parsed = FailWhen::parse(value).ok_or_else(|| bad(key, value, expected))?;
    match kind {
        Some(kind) => find(kinds, key, kind)?.fail_when = parsed,
        None if kinds.is_empty() => return Err(ConfigError::NoMeaning { key: key.to_owned() }),
        None => kinds.iter_mut().for_each(|kind| kind.fail_when = parsed),
    }
    Ok(())
}

/// Reads the objects that are in the tool's own namespace in the one that the user gives.
pub(super) fn replace_namespace(kinds: &mut [ManagedKind], usual: &str, namespace: &str) {
    for list in kinds.iter_mut().flat_map(|kind| &mut kind.lists).filter(|list| list.namespace == usual) {
        *list = list.in_namespace(namespace).into();
    }
}

/// Reads the objects of one kind in these namespaces only.
pub(super) fn namespaces(kinds: &mut [ManagedKind], key: &str, kind: &str, value: &str) -> Result<(), ConfigError> {
    let names: Vec<&str> = value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let is_valid = (1..=MAX_NAMESPACES).contains(&names.len()) && names.iter().all(|name| check_label(name).is_ok());
    if !is_valid {
        return Err(bad(key, value, "1 to 8 namespaces, separated by commas"));
    }
    let kind = find(kinds, key, kind)?;
    kind.lists = names.iter().filter_map(|name| Some(kind.lists.first()?.in_namespace(name).into())).collect();
    Ok(())
}

fn find<'k>(kinds: &'k mut [ManagedKind], key: &str, wanted: &str) -> Result<&'k mut ManagedKind, ConfigError> {
    let names: Vec<String> = kinds.iter().map(|kind| kind.kind.clone()).collect();
    kinds.iter_mut().find(|kind| kind.kind == wanted).ok_or_else(|| ConfigError::UnknownKind {
        key: key.to_owned(),
        kind: wanted.to_owned(),
        nearest: nearest(wanted, names.iter().map(String::as_str)),
        kinds: names.join(", "),
    })
}

fn bad(key: &str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::BadValue { key: key.to_owned(), value: value.to_owned(), expected }
}
