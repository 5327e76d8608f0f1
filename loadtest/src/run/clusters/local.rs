//! A target that is an API server without controllers: the load test writes the statuses of its objects.

use futures::{TryStreamExt, stream};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use simulator::{ComponentId, Health, Kind, Manifest, manifests};
use testkit::ControlPlane;

use super::{Provider, RequestCounts, api, install, name};
use crate::run::RunError;

/// ksit's user on the target.
const READER: &str = "ksit";

pub struct LocalTarget {
    plane: ControlPlane,
    client: Client,
    manifests: Vec<Manifest>,
}

impl LocalTarget {
    pub(super) async fn start(number: u32) -> Result<Self, RunError> {
        let plane = ControlPlane::builder(&format!("target-{number}")).start().await?;
        let client = plane.client().await?;
        let target = Self { plane, client, manifests: manifests() };
        install(&target.client, &target.manifests).await?;
        // No controller writes their statuses.
        let is_workload = |manifest: &&Manifest| manifest.component.kind.is_workload();
        stream::iter(target.manifests.iter().filter(is_workload).map(Ok))
            .try_for_each_concurrent(Provider::CONCURRENT_WRITES, |manifest| {
                target.write_status(manifest, Health::Healthy)
            })
            .await?;
        Ok(target)
    }

    pub(super) fn kubeconfig(&self) -> Result<String, RunError> {
        Ok(self.plane.kubeconfig_of(READER, Some("system:masters"))?)
    }

    /// Adds the requests to this target to `all`.
    pub(super) fn requests(&self, mut all: RequestCounts) -> Result<RequestCounts, RunError> {
        for event in self.plane.audit().begun_by(READER)? {
            match (event.verb.as_str(), &event.object_ref) {
                ("list", _) => all.lists += 1,
                ("watch", _) => all.watches += 1,
                // `/livez` and similar.
                ("get", None) => all.liveness += 1,
                _ => all.others += 1,
            }
        }
        Ok(all)
    }

    /// Breaks or repairs a component. A Service breaks through its EndpointSlice.
    pub(super) async fn set(&self, id: ComponentId, health: Health) -> Result<(), RunError> {
        let component = self.manifests.iter().map(|manifest| manifest.component).find(|component| component.id == id);
        let component = component.ok_or("no such component on the targets")?;
        let kind = if component.kind == Kind::Service { Kind::EndpointSlice } else { component.kind };
        let affected = self.manifests.iter().find(|manifest| {
            let other = manifest.component;
            (other.kind, other.namespace, other.name) == (kind, component.namespace, component.name)
        });
        self.write_status(affected.ok_or("no such component on the targets")?, health).await
    }

    /// Writes the object's healthy or broken status.
    async fn write_status(&self, manifest: &Manifest, health: Health) -> Result<(), RunError> {
        let body = if health == Health::Healthy { &manifest.healthy } else { &manifest.broken };
        let api = api(&self.client, manifest);
        let (name, params) = (name(manifest), PatchParams::default());
        match manifest.component.kind {
            Kind::EndpointSlice => {
                let patch = json!({ "endpoints": body["endpoints"] });
                api.patch(name, &params, &Patch::Merge(patch)).await?;
            }
            _ => {
                // A merge patch keeps fields it does not name, so null those that only the other status has.
                let mut status = json!({});
                for field in
                    [&manifest.healthy, &manifest.broken].into_iter().filter_map(|body| body["status"].as_object())
                {
                    field.keys().for_each(|key| status[key] = body["status"][key].clone());
                }
                api.patch_status(name, &params, &Patch::Merge(json!({ "status": status }))).await?;
            }
        }
        Ok(())
    }
}
