//! An object of the hub, as far as this version can read it.

use std::borrow::Cow;
use std::fmt::Debug;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who it is, and what it says or why that can't be read. Which manager set which field, most of an object's bytes, is
/// dropped before anything is made of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Lenient<K> {
    metadata: ObjectMeta,
    #[serde(skip)]
    pub(super) object: Result<Box<K>, String>,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Known {
            #[serde(default)]
            namespace: Option<String>,
            name: String,
            #[serde(default, rename = "resourceVersion")]
            resource_version: Option<String>,
        }
        let mut object = Value::deserialize(deserializer)?;
        let metadata = object.get_mut("metadata").ok_or_else(|| D::Error::missing_field("metadata"))?;
        if let Value::Object(fields) = metadata {
            fields.remove("managedFields");
        }
        let known = Known::deserialize(&*metadata).map_err(D::Error::custom)?;
        let metadata = ObjectMeta {
            namespace: known.namespace,
            name: Some(known.name),
            resource_version: known.resource_version,
            ..ObjectMeta::default()
        };
        let object = serde_json::from_value(object).map(Box::new).map_err(|error| error.to_string());
        Ok(Self { metadata, object })
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
    use serde_json::json;

    use super::*;
    use crate::api::IntegrationTarget;

    fn read(object: Value) -> Result<Lenient<IntegrationTarget>, serde_json::Error> {
        serde_json::from_value(object)
    }

    #[test]
    fn what_cannot_be_read_is_still_known_by_name() {
        let metadata = json!({ "namespace": "fleet", "name": "c1", "resourceVersion": "7", "managedFields": [{}] });
        let good = read(json!({ "metadata": metadata, "spec": { "clusterName": "c1" } })).unwrap();
        assert_eq!(good.object.unwrap().metadata.managed_fields, None);
        let bad = read(json!({ "metadata": metadata, "spec": { "clusterName": 5 } })).unwrap();
        assert_eq!(bad.metadata.name.as_deref(), Some("c1"));
        assert!(bad.object.unwrap_err().contains("expected a string"));
        assert!(read(json!({ "spec": {} })).is_err());
    }
}
