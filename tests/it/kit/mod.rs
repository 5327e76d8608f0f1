//! Shared by the tests: one hub and one cluster. Each test has its own namespace and operator.

mod fleet;
mod world;

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use testkit::ControlPlane;
use testkit::installation::install_crds;
use testkit::workloads::Workloads;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard};

pub use fleet::Fleet;
pub use world::{World, condition, eventually, until_ended};

const KSIT: &str = env!("CARGO_BIN_EXE_ksit");

/// The hub, with ksit's CRDs.
pub async fn hub() -> &'static ControlPlane {
    static HUB: OnceCell<ControlPlane> = OnceCell::const_new();
    HUB.get_or_init(|| async {
        let hub = ControlPlane::builder("hub").start().await.unwrap();
        install_crds(&hub.client().await.unwrap(), Path::new(KSIT)).await.unwrap();
        hub
    })
    .await
}

/// A cluster without controllers; tests write the statuses of workloads.
pub async fn target() -> &'static ControlPlane {
    static TARGET: OnceCell<ControlPlane> = OnceCell::const_new();
    TARGET.get_or_init(|| async { ControlPlane::builder("target").start().await.unwrap() }).await
}

/// Tests share the hub: while one relaxes its CRDs, no other may test validation.
static VALIDATION: RwLock<()> = RwLock::const_new(());

/// The CRDs validate as long as this guard is held.
pub async fn with_validation() -> RwLockReadGuard<'static, ()> {
    VALIDATION.read().await
}

/// Runs `write` while the CRDs accept anything, as those of an older version did.
pub async fn without_validation(write: impl AsyncFnOnce()) {
    let _alone = VALIDATION.write().await;
    let client = hub().await.client().await.unwrap();
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in ["integrations.ksit.io", "integrationtargets.ksit.io"] {
        let lax = serde_json::json!([{ "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
            "value": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            { "op": "remove", "path": "/spec/versions/0/selectableFields" }]);
        let patch = Patch::<()>::Json(serde_json::from_value(lax).unwrap());
        api.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }
    until_invalid_objects_are(true, &client).await;
    write().await;
    install_crds(&client, Path::new(KSIT)).await.unwrap();
    until_invalid_objects_are(false, &client).await;
}

/// Waits until the API server, a moment after the change, validates by the new schema.
async fn until_invalid_objects_are(accepted: bool, client: &Client) {
    for kind in ["Integration", "IntegrationTarget"] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("ksit.io", "v1alpha1", kind));
        let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
        let invalid = DynamicObject::new("invalid", &resource).data(serde_json::json!({ "spec": { "type": 7 } }));
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        eventually("the API server to validate by the new schema", async || {
            (api.create(&dry_run, &invalid).await.is_ok() == accepted).then_some(())
        })
        .await;
    }
}

/// Installs Flux on the shared cluster, in its own namespace.
pub async fn install_flux(namespace: &str) -> Workloads {
    let workloads = Workloads::new(target().await.client().await.unwrap());
    install_flux_with(&workloads, namespace).await;
    workloads
}

/// Installs Flux on any cluster.
pub async fn install_flux_with(workloads: &Workloads, namespace: &str) {
    workloads.namespace(namespace).await.unwrap();
    for name in ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"] {
        workloads.workload("Deployment", namespace, name, &BTreeMap::new(), 1).await.unwrap();
    }
}

/// Grants `rules` to `user` on the shared cluster, in `namespace` only.
pub async fn grant(user: &str, namespace: &str, rules: serde_json::Value) {
    use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    use serde_json::json;
    let client = target().await.client().await.unwrap();
    let params = PatchParams::apply("test").force();
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": user }, "rules": rules });
    let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
    roles.patch(user, &params, &Patch::Apply(role)).await.unwrap();
    let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": user },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }] });
    let bindings: Api<RoleBinding> = Api::namespaced(client, namespace);
    bindings.patch(user, &params, &Patch::Apply(binding)).await.unwrap();
}
