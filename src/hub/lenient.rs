//! An object of the hub, as far as this version can read it.

use std::borrow::Cow;
use std::fmt::Debug;
use std::marker::PhantomData;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Who it is, and what it says, not read yet.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Lenient<K> {
    metadata: ObjectMeta,
    #[serde(skip)]
    text: Box<RawValue>,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

impl<K: DeserializeOwned + Resource> Lenient<K> {
    /// What it says, or why that can't be read. Which manager set which field is dropped.
    pub(super) fn read(&self) -> Result<Box<K>, String> {
        let mut object: Box<K> = serde_json::from_str(self.text.get()).map_err(|error| error.to_string())?;
        object.meta_mut().managed_fields = None;
        Ok(object)
    }
}

impl<'de, K> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Known {
            metadata: Name,
        }
        #[derive(Deserialize)]
        struct Name {
            #[serde(default)]
            namespace: Option<String>,
            name: String,
            #[serde(default, rename = "resourceVersion")]
            resource_version: Option<String>,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let Known { metadata } = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let metadata = ObjectMeta {
            namespace: metadata.namespace,
            name: Some(metadata.name),
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, text, kind: PhantomData })
    }
}

impl<K: Resource> Resource for Lenient<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::IntegrationTarget;

    fn read(object: Value) -> Result<Lenient<IntegrationTarget>, serde_json::Error> {
        serde_json::from_str(&object.to_string())
    }

    #[test]
    fn what_cannot_be_read_is_still_known_by_name() {
        let metadata = json!({ "namespace": "fleet", "name": "c1", "resourceVersion": "7", "managedFields": [{}] });
        let good = read(json!({ "metadata": metadata, "spec": { "clusterName": "c1" } })).unwrap();
        assert_eq!(good.read().unwrap().metadata.managed_fields, None);
        let bad = read(json!({ "metadata": metadata, "spec": { "clusterName": 5 } })).unwrap();
        assert_eq!(bad.metadata.name.as_deref(), Some("c1"));
        assert!(bad.read().unwrap_err().contains("expected a string"));
        assert!(read(json!({ "spec": {} })).is_err());
    }
}
