//! Decodes managed objects: only the fields that rules read, and of these a bounded number of bytes.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::Xxh3;

use super::{Event, PageEnd, is_error};
use crate::domain::managed::{FailingObject, Fields, Judgement, MAX_ELEMENTS, ManagedList, State, Value};
use crate::domain::object_names::{is_object_name, place};
use crate::targets::managed::{ManagedObject, id};
use crate::targets::objects::{BadPage, Object, Objects};
use crate::targets::strip_unused::strip_managed_fields;
use crate::targets::text::Text;
use crate::targets::wire::ListMeta;

/// Upper bound of the fields that rules read of one object, in bytes. An object with more is not judged.
const MAX_BYTES: usize = 16 * 1024;

/// Approximate bytes of a value beyond its text.
const VALUE: usize = 16;

/// Reason of an object with more fields than [`MAX_BYTES`] or [`MAX_ELEMENTS`].
const TOO_LARGE: &str = "TooLarge";

/// Decodes a page and adds its objects to `into`.
pub(super) fn add_page(body: &mut Vec<u8>, list: &ManagedList, into: &mut Objects) -> Result<PageEnd, BadPage> {
    let bad = Cell::new(BadPage::Invalid);
    let now = Timestamp::now();
    let each = |parsed: Parsed<'_>| into.put(Object::Managed(judge(parsed, list, now)?)).map(drop);
    let seed = Page { list, bad: &bad, each: RefCell::new(each) };
    from_str(body, seed).map_err(|Invalid| bad.get())
}

/// Decodes one line of a watch, as [`super::event`].
pub(super) fn event<'a>(list: &ManagedList, line: &'a mut Vec<u8>) -> Result<(Event, Option<Text<'a>>), BadPage> {
    if is_error(line) {
        return Err(BadPage::Ended);
    }
    let Line { kind, object } = from_str(line, LineSeed(list)).map_err(|Invalid| BadPage::Invalid)?;
    let version = match object.metadata("resourceVersion") {
        Some(Value::Text(Cow::Borrowed(version))) => Some(Text::from(*version)),
        _ => None,
    };
    let event = match &*kind {
        "ADDED" | "MODIFIED" => Event::Put(Object::Managed(judge(object, list, Timestamp::now())?)),
        "DELETED" => {
            let (namespace, name) = object.identity()?;
            Event::Removed { name: place(namespace, name) }
        }
        "BOOKMARK" => match object.metadata("annotations").and_then(|all| all.get("k8s.io/initial-events-end")) {
            Some(_) => Event::EndOfList,
            None => Event::Bookmark,
        },
        _ => return Err(BadPage::Invalid),
    };
    Ok((event, version))
}

/// The fields of an object that rules read, and those that identify it.
struct Parsed<'a> {
    object: Value<'a>,
    is_whole: bool,
}

impl<'a> Parsed<'a> {
    fn metadata(&self, field: &str) -> Option<&Value<'a>> {
        self.object.get("metadata")?.get(field)
    }

    /// # Errors
    /// For a name that no API server accepts, as it may end up in statuses and messages.
    fn identity(&self) -> Result<(&str, &str), BadPage> {
        let text = |field: &str| self.metadata(field).and_then(Value::text);
        let (namespace, name) = (text("namespace").unwrap_or_default(), text("name").ok_or(BadPage::Name)?);
        let is_valid = is_object_name(name) && (namespace.is_empty() || is_object_name(namespace));
        if is_valid { Ok((namespace, name)) } else { Err(BadPage::Name) }
    }
}

fn judge(parsed: Parsed<'_>, list: &ManagedList, now: Timestamp) -> Result<ManagedObject, BadPage> {
    let (namespace, name) = parsed.identity()?;
    let judgement = match parsed.is_whole {
        true => list.rules.judge(&parsed.object, now),
        false => Judgement { reason: Some(TOO_LARGE.to_owned()), ..Judgement::from(State::Unknown) },
    };
    let Judgement { state, reason, since } = judgement;
    let is_named = matches!(state, State::Failing | State::Unknown);
    let failing = is_named
        .then(|| Box::new(FailingObject { namespace: namespace.to_owned(), name: name.to_owned(), reason, since }));
    let id = id(namespace, name);
    Ok(ManagedObject { id, content: content(&parsed.object), state, failing })
}

/// Hash of everything but the resourceVersion, which changes with fields that no rule reads.
fn content(object: &Value<'_>) -> u32 {
    let mut hasher = Xxh3::new();
    let Value::Map(fields) = object else { return 0 };
    for (name, value) in fields {
        match (name.as_ref(), value) {
            ("metadata", Value::Map(metadata)) => {
                metadata.iter().filter(|(name, _)| name != "resourceVersion").for_each(|pair| pair.hash(&mut hasher));
            }
            _ => (name, value).hash(&mut hasher),
        }
    }
    // Collisions only hide one change of one object until its list is read again.
    hasher.finish() as u32
}

/// The text is not what the seed expects.
struct Invalid;

fn from_str<'a, S: DeserializeSeed<'a>>(json: &'a mut Vec<u8>, seed: S) -> Result<S::Value, Invalid> {
    strip_managed_fields(json);
    let json = str::from_utf8(json).map_err(|_| Invalid)?;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut deserializer).map_err(|_| Invalid)?;
    deserializer.end().map(|()| value).map_err(|_| Invalid)
}

/// A page of a list; each object is passed on as soon as it is read.
struct Page<'s, F> {
    list: &'s ManagedList,
    bad: &'s Cell<BadPage>,
    each: RefCell<F>,
}

impl<'de, F: FnMut(Parsed<'_>) -> Result<(), BadPage>> DeserializeSeed<'de> for Page<'_, F> {
    type Value = PageEnd;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PageEnd, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Parsed<'_>) -> Result<(), BadPage>> Visitor<'de> for Page<'_, F> {
    type Value = PageEnd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PageEnd, A::Error> {
        let (mut end, mut is_list) = (PageEnd::default(), false);
        while let Some(key) = map.next_key::<Text>()? {
            match &*key {
                "kind" => {
                    let kind: Text = map.next_value()?;
                    is_list = kind.strip_suffix("List") == Some(&*self.list.kind);
                }
                "metadata" => {
                    let meta = map.next_value::<Option<ListMeta>>()?.unwrap_or_default();
                    end.continue_token = meta.continue_token.filter(|token| !token.is_empty());
                    end.version = meta.resource_version;
                }
                "items" => map.next_value_seed(ItemsSeed(&self))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if is_list { Ok(end) } else { Err(de::Error::custom("another kind")) }
    }
}

struct ItemsSeed<'p, 's, F>(&'p Page<'s, F>);

impl<'de, F: FnMut(Parsed<'_>) -> Result<(), BadPage>> DeserializeSeed<'de> for ItemsSeed<'_, '_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Parsed<'_>) -> Result<(), BadPage>> Visitor<'de> for ItemsSeed<'_, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(parsed) = seq.next_element_seed(ObjectSeed(self.0.list.rules.fields()))? {
            let added = (self.0.each.borrow_mut())(parsed);
            added.map_err(|bad| {
                self.0.bad.set(bad);
                de::Error::custom("an object that can't be used")
            })?;
        }
        Ok(())
    }
}

struct Line<'a> {
    kind: Text<'a>,
    object: Parsed<'a>,
}

struct LineSeed<'s>(&'s ManagedList);

impl<'de> DeserializeSeed<'de> for LineSeed<'_> {
    type Value = Line<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Line<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LineSeed<'_> {
    type Value = Line<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
        let (mut kind, mut object) = (None, None);
        while let Some(key) = map.next_key::<Text>()? {
            match &*key {
                "type" => kind = Some(map.next_value()?),
                "object" => object = Some(map.next_value_seed(ObjectSeed(self.0.rules.fields()))?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = || de::Error::custom("no event");
        Ok(Line { kind: kind.ok_or_else(missing)?, object: object.ok_or_else(missing)? })
    }
}

struct ObjectSeed<'f>(&'f Fields);

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = Parsed<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed<'de>, D::Error> {
        let room = Room { bytes: Cell::new(MAX_BYTES), is_whole: Cell::new(true) };
        let object = ValueSeed { fields: self.0, room: &room }.deserialize(deserializer)?;
        Ok(Parsed { object, is_whole: room.is_whole.get() })
    }
}

/// The bytes that may still be read of one object.
struct Room {
    bytes: Cell<usize>,
    is_whole: Cell<bool>,
}

impl Room {
    /// Returns false, and from then on always, if there is no room for a value with this text.
    fn take(&self, text: usize) -> bool {
        let left = self.bytes.get().checked_sub(VALUE + text);
        self.bytes.set(left.unwrap_or_default());
        self.is_whole.set(self.is_whole.get() && left.is_some());
        left.is_some()
    }
}

#[derive(Clone, Copy)]
struct ValueSeed<'f> {
    fields: &'f Fields,
    room: &'f Room,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        if self.fields.is_presence() {
            let is_there = <Option<IgnoredAny> as de::Deserialize>::deserialize(deserializer)?.is_some();
            return Ok(if is_there { Value::Bool(true) } else { Value::Null });
        }
        deserializer.deserialize_any(self)
    }
}

impl<'f> ValueSeed<'f> {
    /// Reads a field of this value, if rules do.
    fn below(self, name: &str) -> Option<Self> {
        let fields = match self.fields.reads_all() {
            true => Some(self.fields),
            // Macros over an object's fields see their names.
            false => self.fields.get(name).or_else(|| self.fields.elements()),
        };
        fields.map(|fields| Self { fields, ..self })
    }

    fn elements(self) -> Option<Self> {
        let fields = if self.fields.reads_all() { Some(self.fields) } else { self.fields.elements() };
        fields.map(|fields| Self { fields, ..self })
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        let has_room = self.room.take(text.len());
        Ok(Value::Text(Cow::Borrowed(if has_room { text } else { "" })))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value<'de>, E> {
        let has_room = self.room.take(text.len());
        Ok(Value::Text(Cow::Owned(if has_room { text.to_owned() } else { String::new() })))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        let mut list = Vec::new();
        if let Some(elements) = self.elements() {
            while list.len() < MAX_ELEMENTS {
                match seq.next_element_seed(elements)? {
                    Some(value) if self.room.take(0) => list.push(value),
                    Some(_) => {}
                    None => return Ok(Value::List(list)),
                }
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            self.room.is_whole.set(self.room.is_whole.get() && self.elements().is_none());
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<Text>()? {
            match self.below(&key) {
                Some(below) => {
                    let value = map.next_value_seed(below)?;
                    // An absent field and null are the same to Kubernetes.
                    if value != Value::Null && self.room.take(key.len()) {
                        fields.push((key.into_cow(), value));
                    }
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Map(fields))
    }
}

#[cfg(test)]
#[path = "managed_tests.rs"]
mod tests;
