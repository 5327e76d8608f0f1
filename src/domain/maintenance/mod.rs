//! Maintenance windows: times at which faults of clusters are expected.
//!
//! Checks go on in a window, and phases are shown as they are. A target shows the window that covers it, and nobody is
//! notified of what it covers.

mod schedule;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use schedule::{Schedule, When};

use super::keys::WindowKey;
use super::selector::Selector;

/// One `MaintenanceWindow`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Namespace and name.
    pub key: WindowKey,
    /// Clusters that it covers.
    pub(crate) selector: Selector,
    /// Integrations that it covers; empty for all, and for the cluster itself.
    pub integrations: BTreeSet<String>,
    /// Times that it covers.
    pub when: When,
}

/// The window that covers a target, as its status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Name of the window.
    pub name: String,
    /// Its end.
    pub until: Timestamp,
    /// Integrations that it covers; empty for all.
    pub integrations: Vec<String>,
}

/// A window that is open now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active<'a> {
    pub(crate) window: &'a Window,
    pub(crate) until: Timestamp,
}

impl Active<'_> {
    /// Whether it covers this Integration on the clusters that it covers.
    pub(crate) fn covers(&self, integration: &str) -> bool {
        self.window.integrations.is_empty() || self.window.integrations.contains(integration)
    }
}

/// The window to show among those that cover a target: one for all tools before others, then the one that ends last.
pub(crate) fn shown<'a>(active: impl IntoIterator<Item = Active<'a>>) -> Option<Maintenance> {
    let rank = |active: &Active<'_>| {
        let Window { key, integrations, .. } = active.window;
        (integrations.is_empty(), active.until, std::cmp::Reverse(key.name().to_owned()))
    };
    let best = active.into_iter().max_by_key(rank)?;
    let Window { key, integrations, .. } = best.window;
    let integrations = integrations.iter().cloned().collect();
    Some(Maintenance { name: key.name().to_owned(), until: best.until, integrations })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(name: &str, integrations: &[&str]) -> Window {
        Window {
            key: WindowKey::new("fleet", name),
            selector: Selector::default(),
            integrations: integrations.iter().map(|name| (*name).to_owned()).collect(),
            when: When::Once { from: Timestamp::UNIX_EPOCH, until: Timestamp::MAX },
        }
    }

    #[test]
    fn window_for_all_tools_that_ends_last_is_shown() {
        let (short, long, one_tool) = (window("short", &[]), window("long", &[]), window("argo", &["argocd"]));
        let until = |hours: u64| Timestamp::UNIX_EPOCH + Duration::from_secs(hours * 3_600);
        let active = |window, hours| Active { window, until: until(hours) };
        let name = |all: &[Active<'_>]| shown(all.iter().copied()).map(|shown| shown.name);
        let all = [active(&short, 1), active(&long, 2), active(&one_tool, 3)];
        assert_eq!(name(&all).as_deref(), Some("long"));
        assert_eq!(name(&[all[2]]).as_deref(), Some("argo"));
        let equal = [active(&short, 2), active(&long, 2)];
        assert_eq!(name(&equal).as_deref(), Some("long"), "the first by name");
        assert_eq!(name(&[]), None);
    }

    #[test]
    fn window_of_some_tools_covers_no_others() {
        let one_tool = window("argo", &["argocd"]);
        let active = Active { window: &one_tool, until: Timestamp::MAX };
        assert!(active.covers("argocd") && !active.covers("flux"));
        let all = window("all", &[]);
        assert!(Active { window: &all, until: Timestamp::MAX }.covers("flux"));
    }
}
