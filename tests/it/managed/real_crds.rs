//! The facts about Argo CD, cert-manager and Flux as objects of their real CustomResourceDefinitions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ksit::api::catalogue;
use ksit::domain::managed::{MAX_WORST, ManagedList, State};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::ControlPlane;
use testkit::crds::Crds;
use testkit::workloads::Workloads;

use super::facts::{Case, NOW, cases};
use crate::kit::{World, eventually};

const NAMESPACE: &str = "real-crds";

const TOOLS: [(&str, Crds); 3] = [("argocd", Crds::ArgoCd), ("cert-manager", Crds::CertManager), ("flux", Crds::Flux)];

/// By tool and kind: total, failing, progressing and suspended objects, and the failing ones with their reasons.
type Shown = BTreeMap<(String, String), ([u64; 4], Vec<(String, Option<String>)>)>;

/// The fields that a definition requires of a spec.
fn spec(kind: &str) -> Value {
    let application = json!({ "project": "default", "destination": { "name": "in-cluster" },
        "source": { "repoURL": "https://example.com/a.git", "path": "a" } });
    let source = |kind: &str| json!({ "kind": kind, "name": "a" });
    match kind {
        "Application" => application,
        "ApplicationSet" => json!({ "generators": [],
            "template": { "metadata": { "name": "a" }, "spec": application } }),
        "Certificate" => json!({ "secretName": "a", "issuerRef": { "name": "a" }, "dnsNames": ["a.example.com"] }),
        "Issuer" | "ClusterIssuer" => json!({ "selfSigned": {} }),
        "Kustomization" => json!({ "interval": "10m", "prune": true, "sourceRef": source("GitRepository") }),
        "HelmRelease" => json!({ "interval": "10m",
            "chart": { "spec": { "chart": "a", "sourceRef": source("HelmRepository") } } }),
        "GitRepository" => json!({ "interval": "10m", "url": "https://example.com/a.git" }),
        "OCIRepository" => json!({ "interval": "10m", "url": "oci://example.com/a" }),
        "HelmRepository" => json!({ "interval": "10m", "url": "https://example.com" }),
        "HelmChart" => json!({ "interval": "10m", "chart": "a", "sourceRef": source("HelmRepository") }),
        "Bucket" => json!({ "interval": "10m", "bucketName": "a", "endpoint": "example.com" }),
        "ImageUpdateAutomation" => json!({ "interval": "10m", "sourceRef": source("GitRepository"),
            "git": { "commit": { "author": { "email": "a@example.com" } } } }),
        other => panic!("{other} has no spec"),
    }
}

/// As the case's, with times relative to the present one, and conditions with the other fields that definitions require.
fn as_of_now(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(time) => {
                let age = NOW.parse::<Timestamp>().unwrap().as_second() - time.as_second();
                Timestamp::from_second(Timestamp::now().as_second() - age).unwrap().to_string().into()
            }
            Err(_) => value.clone(),
        },
        Value::Array(list) => list.iter().map(as_of_now).collect(),
        Value::Object(map) => {
            let mut new: serde_json::Map<_, _> =
                map.iter().map(|(key, value)| (key.clone(), as_of_now(value))).collect();
            if new.contains_key("type") && new.contains_key("status") {
                new.entry("message").or_insert_with(|| "text of the tool".into());
                new.entry("lastTransitionTime").or_insert_with(|| Timestamp::now().to_string().into());
            }
            new.into()
        }
        other => other.clone(),
    }
}

/// `never compared` as `never-compared`.
fn name(case: &Case) -> String {
    case.name.to_lowercase().replace(' ', "-")
}

fn merged(mut base: Value, more: &Value) -> Value {
    if let (Some(base), Some(more)) = (base.as_object_mut(), more.as_object()) {
        base.extend(more.clone());
    }
    base
}

/// Whether every field is there: an API server drops those that the definition lacks.
fn has(stored: &Value, sent: &Value) -> bool {
    match (stored, sent) {
        (Value::Object(stored), Value::Object(sent)) => {
            sent.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| has(stored, value)))
        }
        (Value::Array(stored), Value::Array(sent)) => {
            stored.len() == sent.len() && stored.iter().zip(sent).all(|(stored, sent)| has(stored, sent))
        }
        _ => stored == sent,
    }
}

async fn define(client: &Client, crds: Crds) {
    let texts = tokio::task::spawn_blocking(move || crds.read()).await.unwrap().unwrap();
    assert!(texts.len() >= 3, "{crds:?} has {} definitions", texts.len());
    let kind = ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    for text in texts {
        let crd: DynamicObject = serde_saphyr::from_str(&text).unwrap();
        api.create(&PostParams::default(), &crd).await.unwrap();
    }
}

/// Creates the object of a case, and writes its status as the tool's controllers do.
async fn create(client: &Client, list: &ManagedList, case: &Case) {
    let (group, version, plural) = list.resource();
    let (group, version, plural) = (group.to_owned(), version.to_owned(), plural.to_owned());
    let api_version = format!("{group}/{version}");
    let resource = ApiResource { group, version, api_version, kind: case.kind.clone(), plural };
    let api: Api<DynamicObject> = match case.kind.as_str() {
        "ClusterIssuer" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), NAMESPACE, &resource),
    };
    let given = &case.object["metadata"];
    let is_deleted = given.get("deletionTimestamp").is_some();
    let finalizers: &[&str] = if is_deleted { &["example.com/kept"] } else { &[] };
    let metadata = json!({ "name": name(case), "annotations": given["annotations"], "finalizers": finalizers });
    let status = case.object.get("status").map(as_of_now);
    let object = json!({ "apiVersion": resource.api_version, "kind": case.kind, "metadata": metadata,
        "spec": merged(spec(&case.kind), &case.object["spec"]), "status": status });
    let mut object: DynamicObject = serde_json::from_value(object).unwrap();
    // An Application has no subresource.
    let is_part = case.kind == "Application";
    if !is_part || status.is_none() {
        object.data.as_object_mut().unwrap().remove("status");
    }
    let created = async || match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(error)) if error.code == 404 => None,
        created => Some(created.unwrap_or_else(|error| panic!("{}, {}: {error}", case.kind, case.name))),
    };
    let mut stored = eventually("the kind to be served", created).await;
    assert_eq!(stored.metadata.generation, Some(1), "{}, {}", case.kind, case.name);
    if let Some(status) = status.as_ref().filter(|_| !is_part) {
        // Also without what the definition defaults.
        let patch = json!([{ "op": "add", "path": "/status", "value": status }]);
        let patch = Patch::<()>::Json(serde_json::from_value(patch).unwrap());
        let written = api.patch_status(&name(case), &PatchParams::default(), &patch).await;
        stored = written.unwrap_or_else(|error| panic!("{}, {}: {error}", case.kind, case.name));
    }
    let is_kept = status.is_none_or(|status| has(&stored.data["status"], &status));
    assert!(is_kept, "{}, {}: the definition lacks fields: {:#}", case.kind, case.name, stored.data);
    if is_deleted {
        api.delete(&name(case), &DeleteParams::default()).await.unwrap();
    }
}

fn expected() -> Shown {
    let mut all = Shown::new();
    for (tool, _) in TOOLS {
        for case in cases(tool) {
            let (counts, failing) = all.entry((tool.to_owned(), case.kind.clone())).or_default();
            counts[0] += 1;
            match case.state() {
                State::Healthy => {}
                State::Failing => {
                    counts[1] += 1;
                    failing.push((name(&case), case.reason.clone()));
                }
                State::Progressing => counts[2] += 1,
                State::Suspended => counts[3] += 1,
                State::Unknown => panic!("{tool}: no definition accepts {}", case.name),
            }
        }
    }
    for (_, failing) in all.values_mut() {
        failing.sort();
        failing.truncate(MAX_WORST);
    }
    all
}

fn shown(status: &Value) -> Shown {
    let mut all = Shown::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    for integration in list(&status["integrations"]) {
        for found in list(&integration["resources"]) {
            let counts = ["total", "failing", "progressing", "suspended"].map(|name| found[name].as_u64().unwrap_or(0));
            let worst = list(&found["worst"]);
            let worst = worst.iter().map(|worst| (text(&worst["name"]).unwrap(), text(&worst["reason"])));
            let key = (text(&integration["name"]).unwrap(), text(&found["kind"]).unwrap());
            all.insert(key, (counts, worst.collect()));
        }
    }
    all
}

/// On a control plane of its own: on the shared one, all other tests' operators would watch these objects.
#[tokio::test]
async fn managed_facts_hold_for_objects_of_real_definitions() {
    let plane = ControlPlane::builder("real-crds").start().await.unwrap();
    let client = plane.client().await.unwrap();
    let workloads = Workloads::new(client.clone());
    workloads.namespace(NAMESPACE).await.unwrap();
    futures::future::join_all(TOOLS.map(|(_, crds)| define(&client, crds))).await;
    futures::future::join_all(TOOLS.map(async |(tool, _)| {
        let kinds = &catalogue::tool(tool).unwrap().resources;
        let list = |case: &Case| kinds.iter().find(|kind| kind.kind == case.kind).unwrap().lists[0].clone();
        let cases = cases(tool);
        futures::future::join_all(cases.iter().map(async |case| create(&client, &list(case), case).await)).await;
    }))
    .await;
    let mut world = World::new(NAMESPACE).await;
    world.target("a", &plane.kubeconfig()).await;
    for (tool, _) in TOOLS {
        world.integration(tool, json!({ "type": tool, "targetClusters": ["a"] })).await;
    }
    world.start_operator(&[]).await;
    let expected = expected();
    let found = eventually("every object to be judged", async || {
        let status = serde_json::to_value(world.targets().await.remove(0).status).unwrap();
        let shown = shown(&status);
        (shown.len() == expected.len() && shown.iter().all(|(kind, (counts, _))| counts[0] == expected[kind].0[0]))
            .then_some(shown)
    })
    .await;
    assert_eq!(found, expected);
}
