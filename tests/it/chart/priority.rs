//! The API server serves ksit's Leases with the priority of leader election.

use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use kube::api::{Api, Patch, PatchParams};
use kube::client::Body;
use kube::{Client, Config, ResourceExt};

use super::helm::{objects, of_kind};
use crate::kit::{World, eventually, hub};

/// UID of the priority level that serves a request.
async fn level_of(client: &Client, path: &str) -> String {
    let request = http::Request::get(path).body(Body::empty()).unwrap();
    let answer = client.send(request).await.unwrap();
    answer.headers()["x-kubernetes-pf-prioritylevel-uid"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn leases_get_the_priority_of_leader_election() {
    let namespace = "chart-priority";
    let world = World::new(namespace).await;
    let token = hub().await.service_account_token(namespace, "ksit").await.unwrap();
    let file = kube::config::Kubeconfig::from_yaml(&hub().await.kubeconfig_with_token(&token)).unwrap();
    let config = Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
    let ksit = Client::try_from(config).unwrap();

    let schemas: Api<FlowSchema> = Api::all(world.client.clone());
    let rendered = objects(namespace, &[]).await;
    let schema = of_kind(&rendered, "FlowSchema")[0];
    let name = schema["metadata"]["name"].as_str().unwrap();
    schemas.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(schema)).await.unwrap();
    let levels: Api<PriorityLevelConfiguration> = Api::all(world.client.clone());
    let wanted = levels.get("leader-election").await.unwrap().uid().unwrap();

    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/ksit-0");
    eventually("the FlowSchema", async || (level_of(&ksit, &leases).await == wanted).then_some(())).await;
    let statuses = format!("/apis/ksit.io/v1alpha1/namespaces/{namespace}/integrationtargets");
    assert_ne!(level_of(&ksit, &statuses).await, wanted);
}
