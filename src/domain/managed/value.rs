//! The part of an object that its rules read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use kube_cel::cel;

/// A JSON value, with the fields that rules name and no others.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// null.
    Null,
    /// A boolean; `true` also for a field of which rules only ask whether it is there.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// An object, in the order of its fields.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl Value<'_> {
    /// A field of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number.
    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array; none of anything else.
    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    /// The object for the evaluation of an expression. Its main parts are always there, so that an expression over an
    /// object without status means what it says.
    pub(super) fn as_variable(&self) -> cel::Value {
        let Self::Map(fields) = self else { return self.to_cel() };
        let empty = ["metadata", "spec", "status"].map(|name| (name, cel_map([])));
        cel_map(empty.into_iter().chain(cel_fields(fields)))
    }

    /// The same for the evaluation of an expression.
    pub(super) fn to_cel(&self) -> cel::Value {
        match self {
            Self::Null => cel::Value::Null,
            Self::Bool(value) => cel::Value::Bool(*value),
            Self::Int(number) => cel::Value::Int(*number),
            Self::Float(number) => cel::Value::Float(*number),
            Self::Text(text) => cel::Value::String(Arc::new(text.as_ref().to_owned())),
            Self::List(list) => cel::Value::List(Arc::new(list.iter().map(Self::to_cel).collect())),
            Self::Map(fields) => cel_map(cel_fields(fields)),
        }
    }
}

fn cel_fields<'v>(fields: &'v [(Cow<'_, str>, Value<'_>)]) -> impl Iterator<Item = (&'v str, cel::Value)> {
    fields.iter().map(|(key, value)| (key.as_ref(), value.to_cel()))
}

/// The last of several values of a field counts.
fn cel_map<'v>(fields: impl IntoIterator<Item = (&'v str, cel::Value)>) -> cel::Value {
    let map: HashMap<cel::objects::Key, cel::Value> =
        fields.into_iter().map(|(key, value)| (key.into(), value)).collect();
    cel::Value::Map(cel::objects::Map { map: Arc::new(map) })
}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Int(number) => number.hash(state),
            Self::Float(number) => number.to_bits().hash(state),
            Self::Text(text) => text.hash(state),
            Self::List(list) => list.hash(state),
            Self::Map(fields) => fields.hash(state),
        }
    }
}
