//! A real API server validates the chart's Pods.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::helm::{documents, of_kind, rendered};
use crate::kit::hub;

/// Creates a namespace that enforces restricted Pod security, with the chart's ServiceAccount.
async fn restricted(client: &Client, name: &str) {
    let by = PatchParams::apply("test").force();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": name, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    namespaces.patch(name, &by, &Patch::Apply(namespace)).await.unwrap();
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), name);
    for name in ["ksit", "ksit-ui"] {
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        accounts.patch(name, &by, &Patch::Apply(account)).await.unwrap();
    }
}

/// The StatefulSet's Pod, and the Pod of `helm test`.
fn pods(objects: &[Value]) -> Vec<Value> {
    let mut template = of_kind(objects, "StatefulSet")[0]["spec"]["template"].clone();
    template["metadata"]["name"] = json!("ksit-0");
    let test = of_kind(objects, "Pod")[0].clone();
    vec![template, test]
}

#[tokio::test]
async fn pods_pass_the_restricted_security_standard() {
    let client = hub().await.client().await.unwrap();
    let namespace = "chart-restricted";
    restricted(&client, namespace).await;
    let api: Api<Pod> = Api::namespaced(client, namespace);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let create = async |pod: &Value| api.create(&dry_run, &serde_json::from_value(pod.clone()).unwrap()).await;
    let objects = documents(&rendered(namespace, &["ui.enabled=true", "ui.history.enabled=true"]).await);
    let mut page = of_kind(&objects, "Deployment")[0]["spec"]["template"].clone();
    page["metadata"]["name"] = json!("ksit-ui");
    for pod in pods(&objects).into_iter().chain([page]) {
        create(&pod).await.unwrap();
        // Each weaker Pod is refused, so the standard is enforced.
        for (path, value) in [
            ("/spec/securityContext/runAsNonRoot", json!(false)),
            ("/spec/securityContext/seccompProfile", json!({ "type": "Unconfined" })),
            ("/spec/containers/0/securityContext/capabilities", json!({ "add": ["SYS_ADMIN"] })),
        ] {
            let mut weaker = pod.clone();
            *weaker.pointer_mut(path).unwrap() = value;
            let refused = create(&weaker).await.expect_err(path);
            assert!(refused.to_string().contains("violates PodSecurity"), "{path}: {refused}");
        }
    }
}

#[tokio::test]
async fn pods_are_read_only_and_report_token_has_own_audience() {
    for pod in pods(&documents(&rendered("ksit-system", &[]).await)) {
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
    }
    let set = pods(&documents(&rendered("ksit-system", &[]).await)).remove(0);
    let token = &set["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], ksit::reports::AUDIENCE);
    let mount = set["spec"]["containers"][0]["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let file = format!("--report-token-file={mount}/{}", token["path"].as_str().unwrap());
    assert!(set["spec"]["containers"][0]["args"].as_array().unwrap().contains(&json!(file)), "{file}");
}
