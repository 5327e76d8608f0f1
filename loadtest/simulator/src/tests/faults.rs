//! Each fault from a client's view.

use tokio::time::{Instant, timeout};

use super::*;

async fn open() -> (Simulator, Client, client::Events) {
    let settings = Settings { oversized_bytes: 1024 * 1024, slow_bytes: 100, ..Settings::default() };
    let simulator = Simulator::with(2, settings).await.unwrap();
    let mut client = Client::connect(&simulator, 0).await;
    let version = client.get(FLUX).await.version();
    let events = client.watch(FLUX, &format!("resourceVersion={version}")).await;
    (simulator, client, events)
}

#[tokio::test]
async fn hang_before_tls_closes_connections_and_blocks_handshakes() {
    for fault in [Fault::HangAtConnect, Fault::HangInTls] {
        let (simulator, _client, mut events) = open().await;
        simulator.inject(0, Some(fault));
        assert!(events.next().await.is_none(), "{fault:?}");
        let connecting = timeout(WHILE, Client::try_connect(&simulator, 0, &[b"h2"])).await;
        assert!(connecting.is_err(), "{fault:?}: neither a connection nor an error");
        simulator.inject(0, None);
        assert_eq!(Client::connect(&simulator, 0).await.get(FLUX).await.status, 200);
        assert_eq!(Client::connect(&simulator, 1).await.get(FLUX).await.status, 200);
    }
}

#[tokio::test]
async fn request_hang_silences_watches_until_healed() {
    for fault in [Fault::HangBeforeHeaders, Fault::HangInBody] {
        let (simulator, mut client, mut events) = open().await;
        simulator.inject(0, Some(fault));
        assert!(timeout(WHILE, client.try_get(FLUX)).await.is_err(), "{fault:?}");
        let headers = timeout(WHILE, client.send(FLUX, "application/json")).await;
        assert_eq!(headers.is_ok(), fault == Fault::HangInBody);
        simulator.break_first(1);
        assert!(timeout(WHILE, events.line()).await.is_err(), "{fault:?}");
        simulator.inject(0, None);
        assert_eq!(events.next_as().await.0, "MODIFIED", "{fault:?}: nothing was lost");
        assert_eq!(client.get(FLUX).await.status, 200);
    }
}

#[tokio::test]
async fn quiet_watches_lose_events_but_requests_are_answered() {
    let (simulator, mut client, mut events) = open().await;
    simulator.inject(0, Some(Fault::QuietWatches));
    simulator.break_first(1);
    assert!(timeout(WHILE, events.line()).await.is_err(), "an open watch");
    let mut opened = client.watch(FLUX, "sendInitialEvents=true&allowWatchBookmarks=true").await;
    assert!(timeout(WHILE, opened.line()).await.is_err(), "a watch opened during the fault");
    let listed = client.get(FLUX).await.json();
    assert!(listed["items"].as_array().unwrap().iter().any(|item| item["status"]["availableReplicas"] != 1));
    simulator.inject(0, None);
    assert!(timeout(WHILE, events.line()).await.is_err(), "lost events are not sent later");
    let broken = simulator.component(Kind::Deployment, "flux-system", "helm-controller").unwrap();
    assert!(simulator.set(0, broken, Health::Healthy));
    for events in [&mut events, &mut opened] {
        assert_eq!(events.next_as().await.0, "MODIFIED", "later events come");
    }
    simulator.inject(0, Some(Fault::QuietWatches));
    simulator.end_watches(0);
    assert!(events.next().await.is_none(), "the watch still ends");
}

#[tokio::test]
async fn reset_fault_resets_connections() {
    let (simulator, mut client, mut events) = open().await;
    simulator.inject(0, Some(Fault::Reset));
    assert!(events.next().await.is_none());
    assert!(client.try_get(FLUX).await.is_err());
    let mut again = Client::connect(&simulator, 0).await;
    let error = again.try_get(FLUX).await.err().unwrap();
    assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");
}

#[tokio::test]
async fn refusal_has_its_code_and_ends_watches() {
    let faults =
        [(Fault::TooManyRequests, 429), (Fault::ServerError, 500), (Fault::Unauthorized, 401), (Fault::Forbidden, 403)];
    for (fault, code) in faults {
        let (simulator, mut client, mut events) = open().await;
        simulator.inject(0, Some(fault));
        assert!(events.next().await.is_none());
        let refused = client.get(FLUX).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (code, &code.into()));
        assert_eq!(refused.headers.contains_key("retry-after"), code == 429);
        simulator.inject(0, None);
        assert_eq!(client.get(FLUX).await.status, 200);
    }
}

#[tokio::test]
async fn wrong_certificate_is_not_trusted() {
    let (simulator, _client, mut events) = open().await;
    simulator.inject(0, Some(Fault::WrongCertificate));
    assert!(events.next().await.is_none());
    let error = Client::try_connect(&simulator, 0, &[b"h2"]).await.err().unwrap();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn hostile_bodies_affect_lists_and_watches() {
    let (simulator, mut client, _) = open().await;
    simulator.inject(0, Some(Fault::OversizedBody));
    let list = client.get(FLUX).await.text;
    assert!(list.len() >= 1024 * 1024 && list.starts_with("{\"kind\":\"DeploymentList\""));
    simulator.inject(0, Some(Fault::OversizedLine));
    let line = client.get(&format!("{FLUX}?watch=1")).await.text;
    assert!(line.len() >= 1024 * 1024 && !line.contains('\n'));
    assert_eq!(client.get(FLUX).await.json()["items"].as_array().unwrap().len(), 4);
    simulator.inject(0, Some(Fault::InvalidJson));
    assert!(client.try_get(FLUX).await.is_err(), "it isn't even UTF-8");
    let mut client = Client::connect_http1(&simulator, 0).await;
    simulator.inject(0, Some(Fault::OversizedBody));
    assert!(client.get(FLUX).await.text.len() >= 1000 * 1024);
}

#[tokio::test]
async fn list_fault_forces_clients_to_list_again() {
    for fault in [Fault::OversizedBody, Fault::SlowBody] {
        let (simulator, mut client, mut events) = open().await;
        let version = client.get(FLUX).await.version();
        simulator.inject(0, Some(fault));
        assert!(events.next().await.is_none(), "{fault:?}");
        let mut resumed = client.watch(FLUX, &format!("resourceVersion={version}")).await;
        assert_eq!(resumed.next().await.unwrap()["object"]["code"], 410, "{fault:?}");
        simulator.inject(0, None);
        let version = client.get(FLUX).await.version();
        let mut resumed = client.watch(FLUX, &format!("resourceVersion={version}")).await;
        simulator.break_first(1);
        assert_eq!(resumed.next_as().await.0, "MODIFIED", "{fault:?}: lists are good again");
    }
}

#[tokio::test]
async fn slow_body_arrives_eventually() {
    let (simulator, mut client, _) = open().await;
    simulator.inject(0, Some(Fault::SlowBody));
    let start = Instant::now();
    assert!(!client.get("/version").await.text.is_empty());
    assert!(start.elapsed() < SOON);
    assert!(timeout(WHILE, client.try_get(FLUX)).await.is_err());
}

#[tokio::test]
async fn blackhole_is_silent_and_keeps_connections_open() {
    let (simulator, mut client, mut events) = open().await;
    simulator.inject(0, Some(Fault::Blackhole));
    simulator.break_first(1);
    assert!(timeout(WHILE, events.line()).await.is_err());
    assert!(timeout(WHILE, client.try_get(FLUX)).await.is_err());
    assert!(timeout(WHILE, Client::try_connect(&simulator, 0, &[b"h2"])).await.is_err());
    simulator.inject(0, None);
    assert!(timeout(WHILE, events.line()).await.is_err(), "the old connection is lost for good");
    assert_eq!(client.driver.len(), 1);
    assert_eq!(Client::connect(&simulator, 0).await.get(FLUX).await.status, 200);
}

#[tokio::test]
async fn connection_limit_is_enforced() {
    let (simulator, mut client, _) = open().await;
    simulator.inject(0, Some(Fault::ConnectionLimit));
    assert_eq!(client.get(FLUX).await.status, 200);
    assert!(Client::try_connect(&simulator, 0, &[b"h2"]).await.is_err());
}

#[tokio::test]
async fn delay_affects_handshakes_responses_and_events() {
    const DELAY: Duration = Duration::from_millis(50);
    let (simulator, mut client, mut events) = open().await;
    simulator.delay(DELAY);
    let start = Instant::now();
    client.get(FLUX).await;
    assert!(start.elapsed() >= DELAY && start.elapsed() < 3 * DELAY);
    let start = Instant::now();
    simulator.break_first(1);
    events.next().await.unwrap();
    assert!(start.elapsed() >= DELAY);
    let start = Instant::now();
    Client::connect(&simulator, 1).await.get(FLUX).await;
    assert!(start.elapsed() >= 2 * DELAY);
}

#[tokio::test]
async fn share_is_exact_and_spread_evenly() {
    let simulator = Simulator::start(10).await.unwrap();
    assert_eq!(simulator.inject_share(0.2, Some(Fault::ServerError)), [4, 9]);
    assert_eq!((simulator.fault(4), simulator.fault(5)), (Some(Fault::ServerError), None));
    assert_eq!(simulator.share(1.0).len(), 10);
}
