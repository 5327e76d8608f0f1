//! Validates everything that the chart renders against the API server's schemas; unknown fields are errors.

use std::fs;
use std::path::Path;

use kube::Client;
use serde_json::{Map, Value, json};
use testkit::Tool;

use super::helm::{NAMESPACE, rendered, root, run};
use crate::kit::{eventually, hub, with_validation};

/// Common ways to install the chart.
const MATRIX: &[&[&str]] = &[
    &[],
    &["replicas=1", "networkPolicy.enabled=false", "flowSchema.enabled=false", "admission.fence=false"],
    &["clusterWide=true", "crds.keep=false", "image.tag=v1"],
    &["watchNamespaces={a,b}", "serviceAccount.create=false", "serviceAccount.name=other", "rbac.create=false"],
    &["crds.install=false", "podDisruptionBudget.maxUnavailable=50%", "priorityClassName=system-cluster-critical"],
    &["dashboard.enabled=true", "dashboard.annotations.folder=ksit", "commonLabels.team=infra", "podLabels.a=b"],
    &["ui.enabled=true", "ui.history.enabled=true", "ui.history.storageClassName=fast", "commonLabels.team=infra"],
    &[
        "ui.enabled=true",
        "clusterWide=true",
        "ui.ingress.enabled=true",
        "ui.ingress.host=ksit.example.com",
        "ui.ingress.tlsSecretName=ksit",
        "ui.ingress.annotations.a=b",
        "networkPolicy.enabled=false",
    ],
    &["nodeSelector.disk=ssd", "tolerations[0].key=a", "tolerations[0].operator=Exists", "imagePullSecrets={pull}"],
    &[
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
        "networkPolicy.egress[0].to[0].ipBlock.cidr=10.0.0.0/8",
        "podAnnotations.a=b",
    ],
    &[
        "extraArgs={--log-level=debug}",
        "extraEnv[0].name=RUST_BACKTRACE",
        "extraEnv[0].value=full",
        "config.allowLoopbackTargets=true",
        "config.watchSecrets=true",
        "config.renewTokens=true",
        "config.clusterProfiles=true",
        "config.accessNamespaces={a,b}",
        "topologySpreadConstraints=null",
        "affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
        "affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey=zone",
        "resources.limits.cpu=2",
    ],
];

/// Pages whose YAML blocks are whole manifests.
const PAGES: [&str; 5] = [
    "README.md",
    "docs/getting-started.md",
    "docs/guides/add-clusters.md",
    "docs/guides/notifications.md",
    "docs/guides/own-types.md",
];

/// Writes a strict, self-contained JSON schema for each kind of the API server, named as kubeconform expects.
async fn write_schemas(client: &Client, folder: &Path) {
    let get = async |path: &str| -> Value {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        client.request(request).await.unwrap()
    };
    let index = get("/openapi/v3").await;
    for group in index["paths"].as_object().unwrap().values() {
        let document = get(group["serverRelativeURL"].as_str().unwrap()).await;
        let Some(schemas) = document.pointer("/components/schemas").and_then(Value::as_object) else { continue };
        let definitions: Map<String, Value> =
            schemas.iter().map(|(name, schema)| (name.clone(), strict(schema))).collect();
        for (name, schema) in schemas {
            for id in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                let text = |key: &str| id[key].as_str().unwrap().to_lowercase();
                let group = text("group").split('.').next().unwrap().to_owned();
                let group = if group.is_empty() { String::new() } else { format!("-{group}") };
                let file = folder.join(format!("{}{group}-{}.json", text("kind"), text("version")));
                let whole = json!({ "$ref": format!("#/definitions/{name}"), "definitions": definitions });
                fs::write(file, whole.to_string()).unwrap();
            }
        }
    }
}

/// Rewrites references to the definitions, and forbids unlisted fields.
fn strict(schema: &Value) -> Value {
    let mut schema = match schema {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), strict(value))).collect::<Map<_, _>>(),
        Value::Array(items) => return items.iter().map(strict).collect(),
        Value::String(text) => return text.replace("#/components/schemas/", "#/definitions/").into(),
        other => return other.clone(),
    };
    let names_fields = schema.get("properties").is_some_and(Value::is_object);
    let takes_all = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if names_fields && !takes_all && !schema.contains_key("additionalProperties") {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    schema.into()
}

async fn conform(folder: &Path, name: &str, manifests: &str) -> super::helm::Outcome {
    let file = folder.join(name);
    fs::write(&file, manifests).unwrap();
    let location = format!("{}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json", folder.display());
    run(Tool::Kubeconform, &["-strict", "-summary", "-schema-location", &location, file.to_str().unwrap()]).await
}

#[tokio::test]
async fn manifests_conform_for_every_set_of_values() {
    let dir = tempfile::tempdir().unwrap();
    write_schemas(&hub().await.client().await.unwrap(), dir.path()).await;
    for (number, values) in MATRIX.iter().enumerate() {
        let manifests = rendered(NAMESPACE, values).await;
        let outcome = conform(dir.path(), &format!("{number}.yaml"), &manifests).await;
        assert!(outcome.is_ok, "{values:?}: {}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stdout.contains("Skipped: 0"), "{values:?}: {}", outcome.stdout);
    }
    // A misspelt field is found.
    let misspelt = rendered(NAMESPACE, &[]).await.replace("serviceAccountName:", "serviceAcountName:");
    let outcome = conform(dir.path(), "misspelt.yaml", &misspelt).await;
    assert!(!outcome.is_ok && outcome.stdout.contains("serviceAcountName"), "{}", outcome.stdout);
}

#[tokio::test]
async fn plain_manifests_and_examples_conform() {
    let _validation = with_validation().await;
    let dir = tempfile::tempdir().unwrap();
    let client = hub().await.client().await.unwrap();
    // The API server publishes the schemas of CRDs a moment after it serves them.
    eventually("the schemas of ksit's own resources", async || {
        write_schemas(&client, dir.path()).await;
        let exists = |kind: &&str| dir.path().join(format!("{kind}-ksit-v1alpha1.json")).exists();
        ["integration", "integrationtarget", "integrationtype"].iter().all(exists).then_some(())
    })
    .await;
    let mut manifests = Vec::new();
    for folder in ["deploy", "deploy/target", "crds", "examples"] {
        for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().extension().is_some_and(|ending| ending == "yaml") {
                manifests.push(fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    for page in PAGES {
        let page = fs::read_to_string(root().join(page)).unwrap();
        let examples = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        manifests.extend(examples.map(str::to_owned));
    }
    let outcome = conform(dir.path(), "all.yaml", &manifests.join("\n---\n")).await;
    assert!(outcome.is_ok && outcome.stdout.contains("Skipped: 0"), "{}{}", outcome.stdout, outcome.stderr);
}
