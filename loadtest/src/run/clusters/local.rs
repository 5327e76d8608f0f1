//! A target that is an API server without controllers: objects say what they are told to say.

use futures::{TryStreamExt, stream};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Asked, Provider, api, install, name};
use crate::ControlPlane;
use crate::run::RunError;
use crate::simulator::{ComponentId, Health, Kind, Manifest, manifests};

/// Who ksit is there.
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
        // Whose status nobody else writes.
        let is_workload = |manifest: &&Manifest| manifest.component.kind.is_workload();
        stream::iter(target.manifests.iter().filter(is_workload).map(Ok))
            .try_for_each_concurrent(Provider::WRITES_AT_A_TIME, |manifest| target.say(manifest, Health::Healthy))
            .await?;
        Ok(target)
    }

    pub(super) fn kubeconfig(&self) -> Result<String, RunError> {
        Ok(self.plane.kubeconfig_of(READER, Some("system:masters"))?)
    }

    /// What `all` counts, and what this one was asked.
    pub(super) fn asked(&self, mut all: Asked) -> Result<Asked, RunError> {
        for event in self.plane.audit().begun_by(READER)? {
            match (event.verb.as_str(), &event.object_ref) {
                ("list", _) => all.lists += 1,
                ("watch", _) => all.watches += 1,
                // `/livez` and the like.
                ("get", None) => all.liveness += 1,
                _ => all.others += 1,
            }
        }
        Ok(all)
    }

    /// A Service is broken by its EndpointSlice.
    pub(super) async fn set(&self, id: ComponentId, health: Health) -> Result<(), RunError> {
        let meant = self.manifests.iter().map(|manifest| manifest.component).find(|component| component.id == id);
        let component = meant.ok_or("the targets have no such component")?;
        let kind = if component.kind == Kind::Service { Kind::EndpointSlice } else { component.kind };
        let bearer = self.manifests.iter().find(|manifest| {
            let other = manifest.component;
            (other.kind, other.namespace, other.name) == (kind, component.namespace, component.name)
        });
        self.say(bearer.ok_or("the targets have no such component")?, health).await
    }

    /// Lets the object say that it is well, or that it is not.
    async fn say(&self, manifest: &Manifest, health: Health) -> Result<(), RunError> {
        let body = if health == Health::Healthy { &manifest.healthy } else { &manifest.broken };
        let api = api(&self.client, manifest);
        let (name, params) = (name(manifest), PatchParams::default());
        match manifest.component.kind {
            Kind::EndpointSlice => {
                let patch = json!({ "endpoints": body["endpoints"] });
                api.patch(name, &params, &Patch::Merge(patch)).await?;
            }
            _ => {
                // What only the other one says would stay as it was.
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
