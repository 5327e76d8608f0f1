//! A target that is an API server without controllers: objects say what they are told to say.

use futures::{TryStreamExt, stream};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::json;

use super::Asked;
use crate::ControlPlane;
use crate::run::RunError;
use crate::simulator::{ComponentId, Health, Kind, Manifest, manifests};
use crate::workloads::Workloads;

/// Writes to one target under way at a time while it is made.
const AT_A_TIME: usize = 8;

/// Who ksit is there.
const READER: &str = "ksit";

pub struct LocalTarget {
    plane: ControlPlane,
    client: Client,
    objects: Vec<Manifest>,
}

impl LocalTarget {
    pub(super) async fn start(number: u32) -> Result<Self, RunError> {
        let plane = ControlPlane::builder(&format!("target-{number}")).start().await?;
        let client = plane.client().await?;
        let target = Self { plane, client, objects: manifests() };
        install(&target.client, &target.objects).await?;
        let broken = |object: &&Manifest| can_be_set(object.component.kind);
        stream::iter(target.objects.iter().filter(broken).map(Ok))
            .try_for_each_concurrent(AT_A_TIME, |object| target.say(object, Health::Healthy))
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
        let meant = self.objects.iter().map(|object| object.component).find(|component| component.id == id);
        let component = meant.ok_or("the targets have no such component")?;
        let kind = if component.kind == Kind::Service { Kind::EndpointSlice } else { component.kind };
        let bearer = self.objects.iter().find(|object| {
            let other = object.component;
            (other.kind, other.namespace, other.name) == (kind, component.namespace, component.name)
        });
        self.say(bearer.ok_or("the targets have no such component")?, health).await
    }

    /// Lets the object say that it is well, or that it is not.
    async fn say(&self, object: &Manifest, health: Health) -> Result<(), RunError> {
        let body = if health == Health::Healthy { &object.healthy } else { &object.broken };
        let api = api(&self.client, object);
        let (name, params) = (name(object), PatchParams::default());
        match object.component.kind {
            Kind::EndpointSlice => {
                let patch = json!({ "endpoints": body["endpoints"] });
                api.patch(name, &params, &Patch::Merge(patch)).await?;
            }
            _ => {
                // What only the other one says would stay as it was.
                let mut status = json!({});
                for field in [&object.healthy, &object.broken].into_iter().filter_map(|body| body["status"].as_object())
                {
                    field.keys().for_each(|key| status[key] = body["status"][key].clone());
                }
                api.patch_status(name, &params, &Patch::Merge(json!({ "status": status }))).await?;
            }
        }
        Ok(())
    }
}

/// Creates objects and their namespaces.
pub(super) async fn install(client: &Client, objects: &[Manifest]) -> Result<(), RunError> {
    let workloads = Workloads::new(client.clone());
    let namespaces = objects.iter().map(|object| object.component.namespace).filter(|name| !name.is_empty());
    for namespace in namespaces.collect::<std::collections::BTreeSet<_>>() {
        workloads.namespace(namespace).await?;
    }
    stream::iter(objects.iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, async |object| {
            let created = api(client, object).create(&PostParams::default(), &object_of(object)?).await?;
            debug_assert_eq!(created.name_any(), name(object));
            Ok(())
        })
        .await
}

fn object_of(object: &Manifest) -> Result<DynamicObject, serde_json::Error> {
    serde_json::from_value(object.healthy.clone())
}

pub(super) fn api(client: &Client, object: &Manifest) -> Api<DynamicObject> {
    let text = |field: &str| object.healthy[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
    match object.component.namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

fn name(object: &Manifest) -> &str {
    object.healthy["metadata"]["name"].as_str().unwrap_or_default()
}

fn can_be_set(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::EndpointSlice)
}
