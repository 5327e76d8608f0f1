//! A target lost its slot label, and a policy refuses to restore it: its replica no longer sees it.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::HostileFleet;
use crate::kit::eventually;

const CLUSTERS: u32 = 12;

fn api(fleet: &HostileFleet, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    Api::all_with(fleet.world.client.clone(), &ApiResource::from_gvk(&kind))
}

/// Installs a policy that refuses to add the slot label to targets of the fleet's namespace.
async fn refuse_labels(fleet: &HostileFleet) {
    let name = fleet.world.namespace.as_str();
    let rule = json!({ "apiGroups": ["ksit.io"], "apiVersions": ["*"], "operations": ["UPDATE"],
        "resources": ["integrationtargets"] });
    let labelled =
        |object: &str| format!("has({object}.metadata.labels) && 'ksit.io/slot' in {object}.metadata.labels");
    let expression = format!("!({}) || ({})", labelled("object"), labelled("oldObject"));
    let policy = json!({ "failurePolicy": "Fail", "matchConstraints": { "resourceRules": [rule] },
        "validations": [{ "expression": expression, "reason": "Forbidden", "message": "no labels" }] });
    let binding = json!({ "policyName": name, "validationActions": ["Deny"], "matchResources": {
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } } } });
    for (kind, spec) in [("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", binding)] {
        let object = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": { "name": name }, "spec": spec });
        api(fleet, kind).patch(name, &PatchParams::apply("test"), &Patch::Apply(object)).await.unwrap();
    }
}

async fn allow_labels(fleet: &HostileFleet) {
    for kind in ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"] {
        api(fleet, kind).delete(&fleet.world.namespace, &DeleteParams::default()).await.unwrap();
    }
}

/// Returns true if the label is still absent an interval later.
async fn remove_label(fleet: &HostileFleet, target: &str) -> bool {
    let targets = fleet.world.api("IntegrationTarget");
    let without = json!({ "metadata": { "labels": { "ksit.io/slot": null } } });
    targets.patch(target, &PatchParams::default(), &Patch::Merge(without)).await.unwrap();
    let restored = async || {
        let object: DynamicObject = targets.get(target).await.unwrap();
        object.metadata.labels.is_some_and(|labels| labels.contains_key("ksit.io/slot"))
    };
    tokio::time::sleep(super::INTERVAL).await;
    !restored().await
}

async fn status(fleet: &HostileFleet, target: &str) -> Value {
    fleet.world.api("IntegrationTarget").get(target).await.unwrap().data["status"].clone()
}

#[tokio::test]
async fn target_unseen_by_its_replica_becomes_unknown() {
    let mut fleet = HostileFleet::start("hostile-lost-label", CLUSTERS).await;
    let truth = fleet.check_truth(1..CLUSTERS).await;
    refuse_labels(&fleet).await;
    // Until the API server enforces the policy the label comes back.
    eventually("the label to stay away", async || remove_label(&fleet, "c0").await.then_some(())).await;
    let stale = async || (status(&fleet, "c0").await["phase"] == "Unknown").then_some(());
    eventually("the target to be Unknown", stale).await;
    let stale_status = status(&fleet, "c0").await;
    assert_eq!(stale_status["integrations"][0]["reason"], "Stale", "{stale_status}");
    fleet.assert_endures("a target that no replica sees", &truth, super::INTERVAL * 10).await;
    assert_eq!(status(&fleet, "c0").await, stale_status, "nothing is written meanwhile");

    allow_labels(&fleet).await;
    let recovered = async || (status(&fleet, "c0").await["phase"] == "Running").then_some(());
    eventually("the target to be Running again", recovered).await;
}
