//! Distinct types for object names, so that they can't be mixed up.

use std::fmt;
use std::sync::Arc;

/// Namespace and name of an object on the hub. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    namespace: Arc<str>,
    name: Arc<str>,
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Key);

        impl $name {
            pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
                Self(Key { namespace: namespace.into(), name: name.into() })
            }

            pub fn namespace(&self) -> &str {
                &self.0.namespace
            }

            pub fn name(&self) -> &str {
                &self.0.name
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
