//! Keys of objects, from their metadata.

use kube::Resource;

use crate::domain::keys::ObjectKey;

pub fn object_key(object: &impl Resource) -> ObjectKey {
    let metadata = object.meta();
    ObjectKey::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}
