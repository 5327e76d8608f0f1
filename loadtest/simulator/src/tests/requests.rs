//! Requests: LIST, GET, tokens, counters.

use super::*;

#[tokio::test]
async fn lists_are_complete_or_paged() {
    let simulator = Simulator::start(2).await.unwrap();
    let mut client = Client::connect(&simulator, 1).await;
    let whole = client.get(ARGOCD).await;
    let names = |reply: &client::Reply| {
        let items = reply.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((whole.status.as_u16(), names(&whole).len()), (200, 6));
    let first = client.get(&format!("{ARGOCD}?limit=4")).await;
    let token = first.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    let second = client.get(&format!("{ARGOCD}?limit=4&continue={token}")).await;
    assert_eq!([names(&first), names(&second)].concat(), names(&whole));
    assert_eq!((first.version(), second.version()), (first.version(), first.version()));
    assert!(second.json()["metadata"]["continue"].is_null());
    let none = client.get("/apis/apps/v1/namespaces/nothing-here/deployments").await;
    assert_eq!((none.status.as_u16(), names(&none).len()), (200, 0));
}

#[tokio::test]
async fn continue_token_expires_on_compaction() {
    let simulator = Simulator::start(1).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let first = client.get(&format!("{ARGOCD}?limit=2")).await;
    let token = first.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    let id = simulator.component(Kind::Deployment, "argocd", "argocd-server").unwrap();
    simulator.set(0, id, Health::Broken);
    simulator.compact(0);
    assert_eq!(client.get(&format!("{ARGOCD}?continue={token}")).await.status, 410);
}

#[tokio::test]
async fn objects_are_found_by_name() {
    let simulator = Simulator::start(1).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    assert_eq!(client.get("/api/v1/namespaces/flux-system").await.json()["kind"], "Namespace");
    assert_eq!(client.get("/api/v1/namespaces/nothing-here").await.status, 404);
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let path = format!("{crds}/gateways.networking.istio.io");
    let full = client.get(&path).await;
    assert_eq!(full.json()["kind"], "CustomResourceDefinition");
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json";
    let short = client.send(&path, accept).await.unwrap();
    let length: usize = short.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert!(length * 10 < full.text.len());
    let id = simulator.component(Kind::Crd, "", "gateways.networking.istio.io").unwrap();
    simulator.set(0, id, Health::Absent);
    assert_eq!(client.get(&path).await.status, 404);
    for path in ["/version", "/livez", "/readyz"] {
        assert_eq!(client.get(path).await.status, 200);
    }
}

#[tokio::test]
async fn rotated_token_is_refused_and_new_one_accepted() {
    let simulator = Simulator::start(2).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let mut other = Client::connect(&simulator, 1).await;
    let mut events = client.watch(FLUX, "resourceVersion=0").await;
    assert_eq!(events.next_as().await.0, "ADDED");
    let former = simulator.kubeconfig(0);
    simulator.issue(0);
    assert_eq!(client.get(FLUX).await.status, 200, "both tokens are valid for a while");
    simulator.rotate(0);
    assert_ne!(simulator.kubeconfig(0), former);
    assert_eq!(client.get(FLUX).await.status, 401);
    assert_eq!(other.get(FLUX).await.status, 200);
    assert_eq!(Client::connect(&simulator, 0).await.get(FLUX).await.status, 200);
    assert_eq!(events.next_as().await.0, "ADDED", "open watches stay open");
}

#[tokio::test]
async fn http1_is_supported_alone_or_beside_http2() {
    let simulator = Simulator::start(1).await.unwrap();
    let mut client = Client::connect_http1(&simulator, 0).await;
    assert_eq!(client.get(FLUX).await.json()["kind"], "DeploymentList");
    let old = Simulator::with(1, Settings { http2: false, ..Settings::default() }).await.unwrap();
    assert!(Client::try_connect(&old, 0, &[b"h2"]).await.is_err());
    let mut client = Client::try_connect(&old, 0, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(client.get(FLUX).await.status, 200);
}

#[tokio::test]
async fn requests_and_connections_are_counted() {
    let simulator = Simulator::start(3).await.unwrap();
    let mut client = Client::connect(&simulator, 2).await;
    client.get(FLUX).await;
    client.get("/version").await;
    client.get("/api/v1/namespaces/argocd").await;
    client.get("/unknown").await;
    let events = client.watch(FLUX, "resourceVersion=0").await;
    let counts = simulator.counts_of(2);
    assert_eq!((counts.accepted, counts.open), (1, 1));
    assert_eq!((counts.lists, counts.watches, counts.liveness), (1, 1, 1));
    assert_eq!((counts.named, counts.others, counts.open_watches), (1, 1, 1));
    assert_eq!((simulator.counts(), simulator.requests()), (counts, 5));
    drop(events);
    eventually(|| simulator.counts().open_watches == 0).await;
    assert_eq!(simulator.counts().open, 1);
    drop(client);
    eventually(|| simulator.counts().open == 0).await;
    assert!(simulator.longest_without_request() > Duration::ZERO);
}

async fn eventually(is_so: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + SOON;
    while !is_so() {
        assert!(tokio::time::Instant::now() < end, "timed out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
