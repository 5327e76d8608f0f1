//! The views, rendered on the server. Text of clusters and users is escaped: HTML by maud, invisible characters here.

mod cluster;
mod clusters;
mod fleet;
pub(super) mod history;
mod layout;
mod login;
mod problems;
mod replicas;
mod versions;

use std::borrow::Cow;

use jiff::Timestamp;
use maud::{Markup, html};

pub(super) use layout::{Page, body, document, failure};
pub(super) use login::login;

use super::index::Fleet;
use super::params::{Access, BadParam, Params};
use crate::domain::escape::escape;
use crate::lists::ClusterRow;

/// Data that a view is rendered from.
pub(super) struct View<'a> {
    /// The hub's objects.
    pub(super) fleet: &'a Fleet,
    /// The namespaces that the user may see.
    pub(super) access: &'a Access,
    /// The query of the URL.
    pub(super) params: &'a Params,
    /// The hub's time.
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    /// The clusters that the user may see, of the namespace that is asked for.
    fn visible(&self) -> impl Iterator<Item = &'a ClusterRow> {
        let (access, namespace) = (self.access, self.params.ns.as_str());
        self.fleet
            .clusters
            .values()
            .map(|cluster| &cluster.row)
            .filter(move |row| access.allows(&row.namespace) && (namespace.is_empty() || row.namespace == namespace))
    }

    /// The clusters that meet the parameters.
    ///
    /// # Errors
    /// Fails if a parameter can't be read.
    pub(super) fn rows(&self) -> Result<Vec<&'a ClusterRow>, BadParam> {
        let filter = self.params.filter()?;
        Ok(self.visible().filter(|row| filter.matches(row)).collect())
    }

    /// Renders the view of this path; `None` if there is none.
    ///
    /// # Errors
    /// Fails if a parameter can't be read.
    pub(super) fn render(&self, path: &str) -> Result<Option<Page>, BadParam> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        Ok(match parts[..] {
            ["" | "fleet"] => Some(fleet::page(self)?),
            ["problems"] => Some(problems::page(self)?),
            ["clusters"] => Some(clusters::page(self)?),
            ["clusters", namespace, name] => cluster::page(self, namespace, name),
            ["versions"] => Some(versions::page(self)),
            ["replicas"] => Some(replicas::page(self)),
            _ => None,
        })
    }
}

/// Text of a cluster or a user, on one line, without characters that hide or reorder others.
fn text(text: &str) -> Cow<'_, str> {
    escape(text)
}

/// Class of a phase in the style sheet.
fn class(phase: &str) -> &'static str {
    match phase {
        "Running" => "running",
        "Degraded" => "degraded",
        "Failed" => "failed",
        "Unknown" => "unknown",
        "Paused" => "paused",
        "NotInstalled" => "absent",
        _ => "initializing",
    }
}

/// Sign of a phase, beside its colour.
fn sign(phase: &str) -> &'static str {
    match class(phase) {
        "running" => "✓",
        "degraded" => "▲",
        "failed" => "✕",
        "unknown" => "?",
        "paused" => "‖",
        "absent" => "–",
        _ => "…",
    }
}

/// A phase with sign and name.
fn phase(phase: &str) -> Markup {
    html! { span class={ "phase " (class(phase)) } { span aria-hidden="true" { (sign(phase)) } " " (text(phase)) } }
}

/// A time as people say it, such as `3m`; the script keeps it current.
fn ago(time: Option<&str>, now: Timestamp) -> Markup {
    let Some((text, at)) = time.and_then(|text| Some((text, text.parse::<Timestamp>().ok()?))) else {
        return html! { span.faint { "–" } };
    };
    html! { time datetime=(text) title=(at) { (short(now.duration_since(at).as_secs())) } }
}

/// A number of seconds in the largest two units, as kubectl shows ages.
fn short(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => format!("{minutes}m{}s", seconds % 60),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => format!("{hours}h{}m", minutes % 60),
        28_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// The path of a cluster's page.
fn cluster_path(namespace: &str, name: &str) -> String {
    format!("/clusters/{namespace}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_at_most_two_units() {
        let rows = [
            (-5, "0s"),
            (90, "90s"),
            (150, "2m30s"),
            (3_600, "60m"),
            (14_700, "4h5m"),
            (90_000, "25h"),
            (200_000, "2d"),
        ];
        for (seconds, shown) in rows {
            assert_eq!(short(seconds), shown);
        }
    }
}
