//! What the coordinator keeps of a target's status: thousands of them, so only what is asked again.

use crate::api::convert::{CREDENTIAL_EXPIRING, stored_digest};
use crate::api::{IntegrationTarget, IntegrationTargetStatus};
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::verdict::Phase;
use crate::hub::Change;

/// A status without its components, which are most of it.
#[derive(Clone, PartialEq)]
pub(super) struct CachedStatus {
    pub(super) summary: IntegrationTargetStatus,
    /// Of all of it, components too.
    pub(super) meaning: Digest,
    /// The summary's, read.
    pub(super) phase: Option<Phase>,
    /// Its credential is about to end.
    pub(super) is_expiring: bool,
}

impl CachedStatus {
    /// `meaning` is the status's [`stored_digest`].
    pub(super) fn new(mut status: IntegrationTargetStatus, meaning: Digest) -> Self {
        for tool in &mut status.integrations {
            (tool.components, tool.healthy_components) = Default::default();
        }
        let phase = status.phase.as_deref().and_then(Phase::read);
        let is_expiring = status.condition(CREDENTIAL_EXPIRING).is_some();
        Self { summary: status, meaning, phase, is_expiring }
    }
}

/// A target as the hub shows it.
pub(super) struct TargetObject {
    pub(super) key: TargetKey,
    /// Without its status.
    pub(super) object: Box<IntegrationTarget>,
    pub(super) status: Option<CachedStatus>,
}

impl TargetObject {
    pub(super) fn of(change: Change<IntegrationTarget>) -> Change<Self> {
        change.map(|mut object| {
            let metadata = &object.metadata;
            let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
            let key = TargetKey::new(namespace.unwrap_or_default(), name.unwrap_or_default());
            let status = object.status.take().map(|status| {
                let meaning = stored_digest(&key, &status);
                CachedStatus::new(status, meaning)
            });
            Self { key, object, status }
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::super::fleet::Fleet;
    use super::super::test_kit::{fleet, key, report};
    use super::*;
    use crate::api::convert::{Writer, target_status};
    use crate::domain::component::ComponentKind;
    use crate::domain::keys::IntegrationKey;
    use crate::domain::reason::Reason;
    use crate::domain::verdict::{ComponentState, Observation, ToolVerdict};

    #[test]
    fn what_the_hub_sends_back_is_what_was_written() {
        let now = "2026-11-27T03:04:05.678901234Z".parse::<Timestamp>().unwrap();
        let writer = Writer { term: 2, managed_by: "ksit-system/ksit".to_owned(), now };
        let written = target_status(&report(Vec::new()), |_| String::new(), None, &writer);
        let stored: IntegrationTargetStatus = serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
        let known = |status: IntegrationTargetStatus| {
            let meaning = stored_digest(&key(), &status);
            CachedStatus::new(status, meaning)
        };
        assert!(known(written.clone()) == known(stored));
        let other = IntegrationTargetStatus { report_epoch: Some(2), ..written.clone() };
        assert!(known(written) != known(other));
    }

    #[tokio::test]
    async fn a_status_of_which_the_hub_keeps_less_is_not_written_without_end() {
        let mut fleet = fleet();
        let seen = Observation {
            kind: ComponentKind::Crd.into(),
            namespace: String::new(),
            name: "apps.io".to_owned(),
            state: ComponentState::Healthy,
            ready: None,
            desired: None,
            message: None,
        };
        let mut tool = ToolVerdict::without_observations(Phase::Running, Reason::Healthy, "1/1 components healthy");
        tool.observations.push(seen);
        fleet.on_report(report(vec![(IntegrationKey::new("fleet", "argocd"), tool)]));
        let written = |fleet: &Fleet| fleet.targets[&key()].status.clone().unwrap();
        let before = written(&fleet);
        // CRDs of an earlier version know no `healthyComponents`.
        let stored = json!({
            "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": { "namespace": "fleet", "name": "c1" }, "spec": { "clusterName": "c1" },
            "status": before.summary,
        });
        fleet.on_target(TargetObject::of(Change::Applied(serde_json::from_value(stored).unwrap())));
        assert!(written(&fleet) == before, "the next report is compared with what was written");
        assert_eq!((fleet.context.statuses.pending(), fleet.context.statuses.superseded()), (1, 0));
    }
}
