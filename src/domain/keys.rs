//! Distinct types for object names, so that they can't be mixed up.

use std::fmt;
use std::sync::Arc;

/// Namespace and name of an object on the hub, of any kind. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    namespace: Arc<str>,
    name: Arc<str>,
}

impl ObjectKey {
    /// `namespace` is empty for cluster-scoped objects.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `metadata.name`, unique for its kind and namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key of another object in the same namespace.
    pub fn sibling(&self, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: self.namespace.clone(), name: name.into() }
    }
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ObjectKey);

        impl $name {
            /// The key of this object; it need not exist.
            pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
                Self(ObjectKey::new(namespace, name))
            }

            /// Namespace on the hub.
            pub fn namespace(&self) -> &str {
                &self.0.namespace
            }

            /// `metadata.name`, unique in its namespace.
            pub fn name(&self) -> &str {
                &self.0.name
            }

            /// The same key without the kind.
            pub fn object(&self) -> &ObjectKey {
                &self.0
            }
        }

        impl From<ObjectKey> for $name {
            fn from(key: ObjectKey) -> Self {
                Self(key)
            }
        }

        impl From<$name> for ObjectKey {
            fn from($name(key): $name) -> Self {
                key
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.0.namespace, self.0.name)
            }
        }
    };
}

key!(
    /// One `IntegrationTarget` on the hub.
    TargetKey
);
key!(
    /// One `Integration` on the hub.
    IntegrationKey
);

key!(
    /// One `Notifier` on the hub.
    NotifierKey
);
key!(
    /// One `MaintenanceWindow` on the hub.
    WindowKey
);
