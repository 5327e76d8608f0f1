//! Watch events of the hub as the coordinator's events, and the metadata of the objects for later writes.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::api::ObjectMeta;

use crate::api::{Integration, IntegrationTarget, LEGACY_FINALIZER, SLOT_LABEL, convert};
use crate::controllers::typed::TypedIntegration;
use crate::domain::coordinator::{CachedStatus, Event, IntegrationObject, ObjectEvent, TargetObject};
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::hub::Change;

/// Metadata by object, without labels and managed fields. Thousands are kept.
#[derive(Default)]
pub(super) struct Objects {
    targets: BTreeMap<TargetKey, ObjectMeta>,
    integrations: BTreeMap<IntegrationKey, ObjectMeta>,
}

impl Objects {
    /// The target with its metadata alone; `None` if it is gone.
    pub(super) fn target(&self, key: &TargetKey) -> Option<IntegrationTarget> {
        let mut target = IntegrationTarget::new(key.name(), Default::default());
        target.metadata = self.targets.get(key)?.clone();
        Some(target)
    }

    /// The Integration with its metadata alone; `None` if it is gone.
    pub(super) fn integration(&self, key: &IntegrationKey) -> Option<Integration> {
        let mut integration = Integration::new(key.name(), Default::default());
        integration.metadata = self.integrations.get(key)?.clone();
        Some(integration)
    }

    pub(super) fn on_target(&mut self, change: Change<WatchedTarget>) -> Event {
        Event::Target(match change {
            Change::Applied(seen) => {
                self.targets.insert(seen.object.key.clone(), seen.metadata);
                ObjectEvent::Applied(Box::new(seen.object))
            }
            Change::Deleted(key) => {
                let key = TargetKey::from(key);
                self.targets.remove(&key);
                ObjectEvent::Deleted(key)
            }
            Change::Listed(keys) => {
                let keys: BTreeSet<_> = keys.into_iter().map(TargetKey::from).collect();
                self.targets.retain(|key, _| keys.contains(key));
                ObjectEvent::Listed(keys)
            }
        })
    }

    pub(super) fn on_integration(&mut self, change: Change<TypedIntegration>) -> Event {
        Event::Integration(match change {
            Change::Applied(typed) => {
                let (metadata, object) = read_integration(*typed);
                self.integrations.insert(object.desired.key.clone(), metadata);
                ObjectEvent::Applied(Box::new(object))
            }
            Change::Deleted(key) => {
                let key = IntegrationKey::from(key);
                self.integrations.remove(&key);
                ObjectEvent::Deleted(key)
            }
            Change::Listed(keys) => {
                let keys: BTreeSet<_> = keys.into_iter().map(IntegrationKey::from).collect();
                self.integrations.retain(|key, _| keys.contains(key));
                ObjectEvent::Listed(keys)
            }
        })
    }
}

/// A target as the watch shows it. Converted where the watch runs, so that a queue of thousands holds no components.
pub(super) struct WatchedTarget {
    metadata: ObjectMeta,
    pub(super) object: TargetObject,
}

impl WatchedTarget {
    pub(super) fn of(change: Change<IntegrationTarget>) -> Change<Self> {
        change.map(|object| {
            let mut target = *object;
            let key = TargetKey::from(convert::object_key(&target));
            let status = target.status.take().map(|stored| CachedStatus::new(&key, convert::target_status(stored)));
            let desired = convert::target(&target).map_err(|error| error.to_string());
            let generation = target.metadata.generation.unwrap_or(0);
            let slot_label = target.metadata.labels.take().and_then(|mut labels| labels.remove(SLOT_LABEL));
            let object = TargetObject { key, desired, generation, slot_label, status };
            Self { metadata: target.metadata, object }
        })
    }
}

fn read_integration(typed: TypedIntegration) -> (ObjectMeta, IntegrationObject) {
    let TypedIntegration { object: mut integration, desired } = typed;
    let status = integration.status.take().map(convert::integration_status);
    let has_legacy_finalizer = integration.finalizers().iter().any(|name| name == LEGACY_FINALIZER);
    integration.metadata.labels = None;
    (integration.metadata, IntegrationObject { desired, has_legacy_finalizer, status })
}
