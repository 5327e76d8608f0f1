//! Deserialises objects of the hub one by one, so that an unreadable one is reported instead of failing the whole list.

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_json::value::RawValue;

/// An object, or its name and the error if it can't be read.
#[derive(Clone, Debug)]
pub enum Lenient<K> {
    /// Without annotations and managed fields, which nothing reads. An unreadable status is dropped, since it will be
    /// rewritten.
    Read(Box<K>),
    Unreadable {
        metadata: Box<ObjectMeta>,
        error: String,
    },
}

impl<'de, K: DeserializeOwned + Resource> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str::<Box<K>>(text.get()).or_else(|error| without_status(text.get()).ok_or(error)) {
            Ok(mut object) => {
                let metadata = object.meta_mut();
                (metadata.managed_fields, metadata.annotations) = (None, None);
                Ok(Self::Read(object))
            }
            Err(error) => {
                let metadata = Box::new(name(text.get()).map_err(D::Error::custom)?);
                Ok(Self::Unreadable { metadata, error: error.to_string() })
            }
        }
    }
}

fn without_status<K: DeserializeOwned>(text: &str) -> Option<Box<K>> {
    let mut object: serde_json::Value = serde_json::from_str(text).ok()?;
    object.as_object_mut()?.remove("status")?;
    serde_json::from_value(object).ok()
}

/// Reads namespace, name and version only.
fn name(text: &str) -> serde_json::Result<ObjectMeta> {
    #[derive(Deserialize)]
    struct Named {
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
    let Named { metadata } = serde_json::from_str(text)?;
    Ok(ObjectMeta {
        namespace: metadata.namespace,
        name: Some(metadata.name),
        resource_version: metadata.resource_version,
        ..ObjectMeta::default()
    })
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
        match self {
            Self::Read(object) => object.meta(),
            Self::Unreadable { metadata, .. } => metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Read(object) => object.meta_mut(),
            Self::Unreadable { metadata, .. } => metadata,
        }
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
    fn unreadable_object_keeps_its_name() {
        let metadata = json!({ "namespace": "fleet", "name": "c1", "resourceVersion": "7", "managedFields": [{}],
            "annotations": { "a": "b" } });
        let good = read(json!({ "metadata": metadata, "spec": { "clusterName": "c1" } })).unwrap();
        assert_eq!((&good.meta().managed_fields, &good.meta().annotations), (&None, &None));
        assert!(matches!(good, Lenient::Read(target) if target.spec.cluster_name == "c1"));
        let bad = read(json!({ "metadata": metadata, "spec": { "clusterName": 5 } })).unwrap();
        assert_eq!(bad.meta().name.as_deref(), Some("c1"));
        assert!(matches!(bad, Lenient::Unreadable { error, .. } if error.contains("expected a string")));
        let edited = json!({ "metadata": metadata, "spec": { "clusterName": "c1" },
            "status": { "componentsOmitted": i64::MAX, "phase": "Running" } });
        assert!(matches!(read(edited).unwrap(), Lenient::Read(target) if target.status.is_none()));
        for nameless in [json!({ "spec": {} }), json!({ "metadata": {}, "spec": { "clusterName": 5 } })] {
            assert!(read(nameless).is_err());
        }
    }
}
