//! The objects that an Integration expects on a target.

use super::component::{Component, ComponentKind};
use super::managed::ManagedKind;
use super::version::VersionRange;

/// The components of a tool, and the official shapes in which some are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// In the order of its type.
    pub components: Vec<Component>,
    /// In order of preference.
    pub profiles: Vec<Profile>,
    /// Name of the component whose version is the tool's. `None`: the first required workload.
    pub version_of: Option<String>,
    /// Versions that the user wants; others are Degraded.
    pub versions: Option<VersionRange>,
    /// Kinds of objects that the tool manages.
    pub resources: Vec<ManagedKind>,
}

/// A shape in which a tool is officially installed without some of its required components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// As its documentation calls it, such as `core`.
    pub name: String,
    /// Components that must be there.
    pub with: Vec<ComponentName>,
    /// Components that are all absent.
    pub without: Vec<ComponentName>,
}

/// Means the components of a name: all of them, or those of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentName {
    /// `None`: of every kind.
    pub kind: Option<ComponentKind>,
    /// Their name in the type.
    pub name: String,
}

impl ComponentName {
    /// Whether it means this component.
    pub fn means(&self, component: &Component) -> bool {
        self.name == component.name && self.kind.is_none_or(|kind| component.kinds().any(|own| own == kind))
    }
}

impl Profile {
    /// Whether the component is absent in this shape.
    pub fn lacks(&self, component: &Component) -> bool {
        self.without.iter().any(|name| name.means(component))
    }
}

impl From<Vec<Component>> for Expected {
    fn from(components: Vec<Component>) -> Self {
        Self { components, ..Self::default() }
    }
}
