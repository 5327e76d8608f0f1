//! Strings that borrow from the response buffer where possible, as most parsed objects are interned already.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// A string, copied only if it has JSON escapes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Text<'a>(Cow<'a, str>);

/// Labels sorted by key. The last of duplicate keys wins; null is the empty string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Labels<'a>(Vec<(Text<'a>, Text<'a>)>);

impl<'a> Text<'a> {
    pub(super) fn into_cow(self) -> Cow<'a, str> {
        self.0
    }

    pub(super) fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> Labels<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Text<'a>> {
        let index = self.0.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub(super) fn equal(&self, map: &BTreeMap<String, String>) -> bool {
        let same = |((a, b), (c, d)): (&(Text, Text), (&String, &String))| **a == **c && **b == **d;
        self.0.len() == map.len() && self.0.iter().zip(map).all(same)
    }

    pub(super) fn into_owned(self) -> BTreeMap<String, String> {
        self.0.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(text.into())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;

        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Labels<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels<'de>, A::Error> {
                let mut labels: Vec<(Text, Text)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<_, Option<Text>>()? {
                    labels.push((name, value.unwrap_or("".into())));
                }
                labels.sort_by(|(one, _), (other, _)| one.0.cmp(&other.0));
                labels.dedup_by(|later, kept| {
                    later.0 == kept.0 && {
                        std::mem::swap(later, kept);
                        true
                    }
                });
                Ok(Labels(labels))
            }
        }

        deserializer.deserialize_map(LabelsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_parse_like_a_map() {
        for json in [
            "{}",
            r#"{"b":"2","a":"1","c":""}"#,
            r#"{"a":"1","b":"2","a":"3","b":null,"a":"4"}"#,
            r#"{"\u0061":"1","b\n":"\u00e4\"","ä":"ö"}"#,
        ] {
            let map: BTreeMap<String, Option<String>> = serde_json::from_str(json).unwrap();
            let map: BTreeMap<String, String> = map.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect();
            let labels: Labels = serde_json::from_str(json).unwrap();
            assert!(labels.equal(&map), "{json}");
            for (name, value) in &map {
                assert_eq!(labels.get(name).map(|value| &**value), Some(value.as_str()), "{json}");
            }
            assert_eq!(labels.get("none"), None);
            assert_eq!(labels.into_owned(), map);
        }
        for json in ["[]", r#""a""#, r#"{"a":1}"#, r#"{"a":["1"]}"#] {
            assert!(serde_json::from_str::<Labels>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn text_is_copied_only_if_escaped() {
        let is_borrowed = |json: &'static str| matches!(serde_json::from_str(json).unwrap(), Text(Cow::Borrowed(_)));
        assert!(is_borrowed(r#""argocd-server""#));
        assert!(!is_borrowed(r#""argocd\u002dserver""#));
    }
}
