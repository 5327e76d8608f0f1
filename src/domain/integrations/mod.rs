//! Types of integration as data, and what `config` of an Integration makes of them.
//!
//! ```text
//! IntegrationType (built in, or the user's) ─ api::convert ─> Tool ─┐
//!                                                                   ├─ config ─> Expected ─> evaluate
//!                                     spec.components (custom) ─────┘
//! ```

mod config;
mod config_error;
mod managed;
pub mod names;

use super::component::{ComponentKind, Finder, MinReady, Presence};
use super::expected::Profile;
use super::managed::ManagedKind;

#[cfg(test)]
pub(crate) use config::WITHOUT_EFFECT;
pub use config::expected_of;
pub use config_error::ConfigError;
pub(crate) use config_error::{meant, nearest};

/// A type of integration: a tool and the objects of its usual installations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The value of `spec.type`.
    pub name: String,
    /// Its official spelling.
    pub title: String,
    /// Its namespace unless `config.namespace` overrides it.
    pub namespace: String,
    /// At least one.
    pub parts: Vec<Part>,
    /// Name of the part whose version is the tool's. `None`: the first required workload.
    pub version_of: Option<String>,
    /// Official shapes without some of the required parts, in order of preference.
    pub profiles: Vec<Profile>,
    /// Kinds of objects that it manages.
    pub resources: Vec<ManagedKind>,
}

/// One component of a tool, before `config` is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The usual kind.
    pub kind: ComponentKind,
    /// Kinds that its objects may have instead.
    pub or_kinds: Vec<ComponentKind>,
    /// Group and version of a kind without rules of its own.
    pub api_version: Option<String>,
    /// Its key in `config`.
    pub name: String,
    /// Alternative labels and names by which its objects are found.
    pub finder: Finder,
    /// Its usual namespace, if that is not the tool's.
    pub namespace: Option<String>,
    /// Other namespaces in which its objects may be.
    pub elsewhere: Vec<String>,
    /// Whether it may be missing.
    pub presence: Presence,
    /// Whether its presence proves that the tool is installed.
    pub anchor: bool,
    /// See [`Component::min_ready`](super::component::Component::min_ready).
    pub min_ready: Option<MinReady>,
    /// See [`Component::quorum`](super::component::Component::quorum).
    pub quorum: bool,
    /// See [`Component::workload`](super::component::Component::workload).
    pub workload: Option<String>,
}

impl Part {
    /// The usual kind, then the others.
    pub fn kinds(&self) -> impl Iterator<Item = ComponentKind> {
        std::iter::once(self.kind).chain(self.or_kinds.iter().copied())
    }
}
