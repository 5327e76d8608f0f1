//! A `Notifier` as its user wrote it, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cause::{Fact, Tool};
use crate::domain::keys::NotifierKey;
use crate::domain::selector::Selector;
use crate::domain::verdict::Phase;

/// One `Notifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Namespace and name.
    pub key: NotifierKey,
    /// Generation of the spec.
    pub generation: i64,
    /// Integrations by name, and by type; without both all.
    pub integrations: BTreeSet<String>,
    /// Types of Integrations.
    pub types: BTreeSet<String>,
    /// Clusters; `None` for all.
    pub(crate) selector: Option<Selector>,
    /// Phases to report.
    pub phases: BTreeSet<Phase>,
    /// Least age of a fault.
    pub after: Duration,
    /// Time without the cause until it has ended.
    pub recovered_after: Duration,
    /// `None`: messages are not repeated.
    pub remind_every: Option<Duration>,
    /// Messages a minute.
    pub max_per_minute: u32,
    /// Where messages go.
    pub receiver: Receiver,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// API v2 of an Alertmanager.
    Alertmanager {
        /// Before `/api/v2/alerts`.
        url: String,
        /// Added to each alert.
        labels: BTreeMap<String, String>,
        /// Bearer token.
        token: Option<SecretKey>,
        /// Trusted instead of public CAs.
        ca: Option<SecretKey>,
    },
    /// CloudEvents 1.0.
    Webhook {
        /// Where events are posted.
        url: String,
        /// Signs the body.
        hmac: Option<SecretKey>,
        /// Bearer token.
        token: Option<SecretKey>,
        /// Trusted instead of public CAs.
        ca: Option<SecretKey>,
    },
    /// Incoming webhook of Slack.
    Slack {
        /// Holds the URL.
        url: SecretKey,
    },
    /// Workflow of Microsoft Teams.
    Teams {
        /// Holds the URL.
        url: SecretKey,
    },
}

/// One key of a Secret in the namespace of the Notifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Key in it.
    pub key: String,
}

impl Spec {
    /// Whether it reports this fault, in maintenance or not.
    pub(super) fn wants(&self, fact: &Fact<'_>) -> bool {
        let is_selected = self.selector.as_ref().is_none_or(|selector| selector.matches(fact.labels));
        let is_wanted = match &fact.tool {
            Some(tool) => self.wants_tool(tool),
            None => fact.tools.iter().any(|tool| self.wants_tool(tool)),
        };
        self.phases.contains(&fact.phase) && is_selected && is_wanted
    }

    fn wants_tool(&self, tool: &Tool<'_>) -> bool {
        let Self { integrations, types, .. } = self;
        integrations.is_empty() && types.is_empty()
            || integrations.contains(tool.name)
            || types.contains(tool.type_name)
    }

    /// Whether it keeps the state of alerts itself, and wants all of them again and again.
    pub(super) fn is_alertmanager(&self) -> bool {
        matches!(self.receiver, Receiver::Alertmanager { .. })
    }
}
