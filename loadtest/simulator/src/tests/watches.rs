//! Watches: events, bookmarks, 410, timeouts.

use tokio::time::{Instant, timeout};

use super::*;

#[tokio::test]
async fn changes_are_sent_at_once_on_both_protocols() {
    let simulator = Simulator::start(2).await.unwrap();
    let id = simulator.component(Kind::Deployment, "flux-system", "helm-controller").unwrap();
    for client in [Client::connect(&simulator, 1).await, Client::connect_http1(&simulator, 1).await] {
        let mut client = client;
        let version = Client::connect(&simulator, 1).await.get(FLUX).await.version();
        let mut events = client.watch(FLUX, &format!("resourceVersion={version}&allowWatchBookmarks=true")).await;
        assert!(timeout(WHILE, events.line()).await.is_err(), "nothing has happened");
        assert!(simulator.set(1, id, Health::Broken));
        assert!(!simulator.set(1, id, Health::Broken), "it is broken already");
        let event = events.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["kind"]), (&"MODIFIED".into(), &"Deployment".into()));
        assert_eq!(event["object"]["metadata"]["name"], "helm-controller");
        assert_eq!(event["object"]["status"]["availableReplicas"], serde_json::Value::Null);
        let newer: u64 = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(newer > version);
        simulator.set(1, id, Health::Absent);
        assert_eq!(events.next_as().await, ("DELETED".into(), "helm-controller".into()));
        simulator.mend(1);
        let event = events.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["status"]["availableReplicas"]), (&"ADDED".into(), &1.into()));
    }
}

#[tokio::test]
async fn service_breaks_through_its_endpoint_slice() {
    let simulator = Simulator::start(1).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/istio-system/endpointslices";
    let version = client.get(slices).await.version();
    let from = format!("resourceVersion={version}");
    let (mut events, mut others) = (client.watch(slices, &from).await, client.watch(FLUX, &from).await);
    let id = simulator.component(Kind::Service, "istio-system", "istiod").unwrap();
    simulator.set(0, id, Health::Broken);
    let event = events.next().await.unwrap();
    assert_eq!(event["object"]["endpoints"][0]["conditions"]["ready"], false);
    assert_eq!(event["object"]["metadata"]["labels"]["kubernetes.io/service-name"], "istiod");
    simulator.set(0, id, Health::Healthy);
    assert_eq!(events.next().await.unwrap()["object"]["endpoints"][0]["conditions"]["ready"], true);
    assert!(timeout(WHILE, others.line()).await.is_err());
}

#[tokio::test]
async fn watch_resumes_from_given_version() {
    let simulator = Simulator::start(1).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let version = client.get(FLUX).await.version();
    simulator.break_first(1);
    let list = client.get(FLUX).await;
    assert_eq!(list.version(), version.max(list.version() - 4) + 4, "each change has its own version");
    let mut events = client.watch(FLUX, &format!("resourceVersion={version}")).await;
    for _ in 0..4 {
        assert_eq!(events.next_as().await.0, "MODIFIED");
    }
    let mut later = client.watch(FLUX, &format!("resourceVersion={}", list.version())).await;
    assert!(timeout(WHILE, later.line()).await.is_err());
    assert!(simulator.mend(0) && !simulator.mend(0));
    for _ in 0..4 {
        assert_eq!(later.next().await.unwrap()["object"]["status"]["availableReplicas"], 1);
    }
}

#[tokio::test]
async fn compacted_version_gets_410_in_the_stream() {
    let simulator = Simulator::start(1).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let version = client.get(FLUX).await.version();
    let mut open = client.watch(FLUX, &format!("resourceVersion={version}")).await;
    simulator.break_first(1);
    simulator.compact(0);
    let mut events = client.watch(FLUX, &format!("resourceVersion={version}")).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&"ERROR".into(), &410.into()));
    assert_eq!((&event["object"]["kind"], &event["object"]["reason"]), (&"Status".into(), &"Expired".into()));
    assert!(events.next().await.is_none(), "and ends");
    assert_eq!(open.next_as().await.0, "MODIFIED", "an open watch has seen it");
}

#[tokio::test]
async fn history_length_is_configurable() {
    let settings = Settings { history: Duration::ZERO, events: 2, ..Settings::default() };
    let simulator = Simulator::with(1, settings).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let version = client.get(FLUX).await.version();
    simulator.break_first(1);
    let mut events = client.watch(FLUX, &format!("resourceVersion={version}")).await;
    assert_eq!(events.next().await.unwrap()["object"]["code"], 410);
}

#[tokio::test]
async fn bookmarks_are_sent_and_watches_resume_from_them() {
    let settings = Settings { bookmarks: Duration::from_millis(50), ..Settings::default() };
    let simulator = Simulator::with(1, settings).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let version = client.get(FLUX).await.version();
    let mut without = client.watch(FLUX, &format!("resourceVersion={version}")).await;
    let mut events = client.watch(FLUX, &format!("resourceVersion={version}&allowWatchBookmarks=true")).await;
    let bookmark = events.next().await.unwrap();
    assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&"BOOKMARK".into(), &"Deployment".into()));
    let newer = bookmark["object"]["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    assert!(newer.parse::<u64>().unwrap() >= version);
    assert!(timeout(WHILE, without.line()).await.is_err());
    simulator.break_first(1);
    let mut resumed = client.watch(FLUX, &format!("resourceVersion={newer}")).await;
    assert_eq!(resumed.next_as().await.0, "MODIFIED");
}

#[tokio::test]
async fn watches_end_by_default_and_on_requested_timeout() {
    let (short, long) = (Duration::from_millis(100), Duration::from_millis(200));
    let simulator = Simulator::with(1, Settings { watch_ends: short..long, ..Settings::default() }).await.unwrap();
    for mut client in [Client::connect(&simulator, 0).await, Client::connect_http1(&simulator, 0).await] {
        let start = Instant::now();
        assert!(client.watch(FLUX, "resourceVersion=100000").await.next().await.is_none());
        assert!(start.elapsed() >= short);
        let start = Instant::now();
        assert!(client.watch(FLUX, "resourceVersion=100000&timeoutSeconds=1").await.next().await.is_none());
        assert!(start.elapsed() >= Duration::from_secs(1));
    }
    assert_eq!(simulator.counts().open_watches, 0);
}

#[tokio::test]
async fn streamed_list_has_all_items_and_an_end_marker() {
    let simulator = Simulator::start(1).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let streamed = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut events = client.watch(FLUX, streamed).await;
    for _ in 0..4 {
        assert_eq!(events.next_as().await.0, "ADDED");
    }
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let old = Simulator::with(1, Settings { streaming_lists: false, ..Settings::default() }).await.unwrap();
    let mut client = Client::connect(&old, 0).await;
    assert_eq!(client.get(&format!("{FLUX}?watch=1&{streamed}")).await.status, 422);
}

#[tokio::test]
async fn go_away_keeps_watches_open() {
    let simulator = Simulator::start(1).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let version = client.get(FLUX).await.version();
    let mut events = client.watch(FLUX, &format!("resourceVersion={version}")).await;
    simulator.go_away(0);
    tokio::time::sleep(WHILE).await;
    assert!(client.try_get(FLUX).await.is_err(), "no new requests on this connection");
    simulator.break_first(1);
    assert_eq!(events.next_as().await.0, "MODIFIED");
}
