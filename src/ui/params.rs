//! The part of the fleet that a page shows, as its URL says it.

use std::collections::BTreeSet;

use form_urlencoded::Serializer;
use serde::Deserialize;

use crate::domain::selector::Selector;
use crate::lists::{ClusterRow, Filter};

/// The query of a URL. A page's whole state stands in it, so that it can be bookmarked and shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Params {
    /// Part of a name or message.
    pub(super) q: String,
    /// Label selector.
    pub(super) l: String,
    /// Namespace.
    pub(super) ns: String,
    /// Types of tools, separated by commas.
    #[serde(rename = "type")]
    pub(super) type_: String,
    /// Phases, separated by commas.
    pub(super) phase: String,
    pub(super) reason: String,
    pub(super) version: String,
    /// Label by which the fleet is grouped.
    pub(super) by: String,
    /// Column of the order.
    pub(super) sort: String,
    /// Number of the page, from 1.
    pub(super) page: String,
    /// Clusters on a page of the JSON API.
    pub(super) limit: String,
}

/// A parameter that can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub(super) struct BadParam {
    pub(super) field: &'static str,
    pub(super) why: String,
}

/// The order of clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// The worst first, and among these the latest.
    #[default]
    Worst,
    /// By namespace and name.
    Name,
    /// The latest change first.
    Since,
}

impl Params {
    /// The parameters with their names.
    fn pairs(&self) -> [(&'static str, &str); 11] {
        [
            ("q", &self.q),
            ("l", &self.l),
            ("ns", &self.ns),
            ("type", &self.type_),
            ("phase", &self.phase),
            ("reason", &self.reason),
            ("version", &self.version),
            ("by", &self.by),
            ("sort", &self.sort),
            ("page", &self.page),
            ("limit", &self.limit),
        ]
    }

    /// A link to `path` with these parameters; empty ones are left out.
    pub(super) fn link(&self, path: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.pairs().into_iter().filter(|(_, value)| !value.is_empty()));
        let query = query.finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// The same labels, namespace and grouping, without the rest.
    pub(super) fn scope(&self) -> Self {
        Self { l: self.l.clone(), ns: self.ns.clone(), by: self.by.clone(), ..Self::default() }
    }

    /// The filter that the parameters describe.
    ///
    /// # Errors
    /// Fails if the labels are no selector.
    pub(super) fn filter(&self) -> Result<Filter, BadParam> {
        let list = |text: &str| -> Vec<String> {
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let one = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
        let labels: Selector = self.l.parse().map_err(|why| BadParam { field: "l", why })?;
        Ok(Filter {
            text: one(&self.q),
            labels: Some(labels).filter(|labels| !labels.0.is_empty()),
            phases: list(&self.phase),
            types: list(&self.type_),
            reason: one(&self.reason),
            version: one(&self.version),
        })
    }

    /// The order of clusters.
    ///
    /// # Errors
    /// Fails if there is no such order.
    pub(super) fn order(&self) -> Result<Order, BadParam> {
        match self.sort.as_str() {
            "" | "worst" => Ok(Order::Worst),
            "name" => Ok(Order::Name),
            "since" => Ok(Order::Since),
            _ => Err(BadParam { field: "sort", why: "use worst, name or since".to_owned() }),
        }
    }

    /// The number of the page, from 1.
    ///
    /// # Errors
    /// Fails if it is no number from 1.
    pub(super) fn page(&self) -> Result<usize, BadParam> {
        match self.page.as_str() {
            "" => Ok(1),
            text => text
                .parse()
                .ok()
                .filter(|page| *page > 0)
                .ok_or_else(|| BadParam { field: "page", why: "use a number from 1".to_owned() }),
        }
    }
}

impl Order {
    /// Sorts clusters.
    pub(super) fn sort(self, rows: &mut [&ClusterRow]) {
        let latest_first = |a: &ClusterRow, b: &ClusterRow| b.since.cmp(&a.since);
        let by_name = |a: &ClusterRow, b: &ClusterRow| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name));
        rows.sort_by(|a, b| match self {
            Self::Worst => a.rank().cmp(&b.rank()).then_with(|| latest_first(a, b)).then_with(|| by_name(a, b)),
            Self::Name => by_name(a, b),
            Self::Since => latest_first(a, b).then_with(|| by_name(a, b)),
        });
    }
}

/// The namespaces that a user may see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// All namespaces.
    All,
    /// These alone.
    Only(BTreeSet<String>),
}

impl Access {
    /// Whether the user may see objects of the namespace.
    pub(super) fn allows(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(namespaces) => namespaces.contains(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_carries_the_whole_state() {
        let params = Params { q: "a&b ü".to_owned(), phase: "Failed,Unknown".to_owned(), ..Params::default() };
        assert_eq!(params.link("/clusters"), "/clusters?q=a%26b+%C3%BC&phase=Failed%2CUnknown");
        assert_eq!(Params::default().link("/"), "/");
        assert_eq!(params.filter().unwrap().phases, ["Failed", "Unknown"]);
    }

    #[test]
    fn bad_parameters_are_named() {
        let bad = |params: Params| {
            let error = params.filter().map(drop).and_then(|()| params.order().map(drop));
            error.and_then(|()| params.page().map(drop)).unwrap_err().field
        };
        assert_eq!(bad(Params { l: "a b".to_owned(), ..Params::default() }), "l");
        assert_eq!(bad(Params { sort: "size".to_owned(), ..Params::default() }), "sort");
        assert_eq!(bad(Params { page: "0".to_owned(), ..Params::default() }), "page");
    }
}
