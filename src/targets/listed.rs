//! The lists that are fetched page by page and then watched.

use std::sync::Arc;

use crate::domain::managed::ManagedList;
use crate::domain::snapshot::{ListKind, Query};

/// The kind of a list's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// A kind with rules of its own.
    Kind(ListKind),
    /// Objects that a tool manages.
    Managed(Arc<ManagedList>),
}

impl Listed {
    /// The kind and the namespace (empty for all) of a query that lists. `None` for one that does not.
    pub(super) fn of(query: &Query) -> Option<(Self, &str)> {
        match query {
            Query::List { kind, namespace } => Some((Self::Kind(*kind), namespace)),
            Query::Managed(list) => Some((Self::Managed(list.clone()), &list.namespace)),
            Query::Object(_) | Query::Pods { .. } | Query::Served => None,
        }
    }

    /// API group, version and plural, as in URLs.
    pub(super) fn resource(&self) -> (&str, &str, &str) {
        match self {
            Self::Kind(kind) => kind.resource(),
            Self::Managed(list) => list.resource(),
        }
    }

    pub(super) fn is_managed(&self) -> bool {
        matches!(self, Self::Managed(_))
    }
}

impl From<ListKind> for Listed {
    fn from(kind: ListKind) -> Self {
        Self::Kind(kind)
    }
}
