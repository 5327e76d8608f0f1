//! Faulty clusters beside a healthy one: each gets a message with a remedy, none delays the healthy one, nothing leaks.

use std::time::Duration;

use serde_json::json;

use crate::faults::{Certificate, Fault, FaultyApiServer, Http, PLANTED_ANSWER, PLANTED_TOKEN};
use crate::kit::{World, condition, install_flux, target};

/// Limit of the operator's resident memory with a handful of clusters, some of which send 300 MiB answers.
const MAX_MEMORY_KIB: u64 = 400 * 1024;

const HEALTHY: &str = "beside-faults";

struct Row {
    name: &'static str,
    fault: Fault,
    http: Http,
    certificate: Certificate,
    /// Reason of the condition `Reachable`, and part of its message.
    reason: &'static str,
    words: &'static str,
}

fn row(name: &'static str, fault: Fault, reason: &'static str, words: &'static str) -> Row {
    Row { name, fault, http: Http::Two, certificate: Certificate::Good, reason, words }
}

fn rows() -> Vec<Row> {
    let unreachable = "Unreachable";
    let certificate = |name, certificate, reason, words| Row { certificate, ..row(name, Fault::None, reason, words) };
    let old = |row: Row| Row { http: Http::One, ..row };
    vec![
        row("refuses", Fault::Refuse, unreachable, "ConnectFailed"),
        row("hangs-in-tls", Fault::HangInTls, unreachable, "TimedOut"),
        row("never-answers", Fault::NeverAnswer, unreachable, "TimedOut"),
        old(row("never-answers-http1", Fault::NeverAnswer, unreachable, "TimedOut")),
        row("drips", Fault::Drip, unreachable, "TimedOut"),
        row("answers-500", Fault::Status(500), unreachable, "ServerError"),
        row("answers-429", Fault::Throttle("99999999999999999999"), unreachable, "Throttled"),
        row("answers-401", Fault::Status(401), "Unauthorized", "credential"),
        row("answers-403", Fault::Status(403), "Connected", "answers"),
        row("front-door-404", Fault::FrontDoor(404), unreachable, "InvalidAnswer"),
        row("front-door-403", Fault::FrontDoor(403), unreachable, "InvalidAnswer"),
        row("floods", Fault::Flood { content_length: false }, unreachable, "AnswerTooLarge"),
        old(row("floods-http1", Fault::Flood { content_length: true }, unreachable, "AnswerTooLarge")),
        row("invalid-json", Fault::InvalidJson, unreachable, "InvalidAnswer"),
        row("resets", Fault::ResetMidBody, unreachable, "ConnectionLost"),
        certificate("unknown-ca", Certificate::UnknownCa, "CertificateUnknown", "CA"),
        certificate("expired", Certificate::Expired, "CertificateExpired", "certificate"),
        certificate("other-name", Certificate::WrongName, "CertificateNameMismatch", "certificate"),
    ]
}

#[tokio::test]
async fn faults_are_distinguished_and_spare_a_healthy_cluster() {
    let mut world = World::new(HEALTHY).await;
    let workloads = install_flux(HEALTHY).await;
    let plane = target().await;
    world.target("healthy", &plane.kubeconfig_of(HEALTHY, Some("system:masters")).unwrap()).await;
    let rows = rows();
    let mut servers = Vec::new();
    for row in &rows {
        let server = FaultyApiServer::with(row.fault, row.http, row.certificate).await;
        world.target(row.name, &server.kubeconfig()).await;
        servers.push(server);
    }
    let everywhere = json!({ "type": "flux", "targetSelector": {}, "config": { "namespace": HEALTHY } });
    world.integration("flux", everywhere).await;
    // Fewer concurrent rounds than faulty clusters: hung ones could take them all.
    world.start_operator(&["--max-concurrent-reconciles=8"]).await;

    for row in &rows {
        let target = world.until_reach(row.name, row.reason).await;
        let reachable = condition(&target, "Reachable").unwrap();
        assert!(reachable.message.contains(row.words), "{}: {}", row.name, reachable.message);
        assert!(
            row.reason == "Connected" || reachable.message.len() > row.words.len() + 20,
            "{}: the message has no remedy: {}",
            row.name,
            reachable.message
        );
    }
    let forbidden = world.until_target("answers-403", |target| {
        target.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Failed"))
    });
    let message = forbidden.await.status.unwrap().integrations[0].message.clone().unwrap();
    assert!(message.contains("apiGroups [\"apps\"], resources [\"deployments\"]"), "{message}");

    let rounds = count_healthy_rounds(plane).await;
    assert!(rounds >= 4, "{rounds} rounds in 10 s at an interval of 1 s");
    workloads.scale("Deployment", HEALTHY, "helm-controller", 0).await.unwrap();
    world.until_target("healthy", |t| t.status.as_ref().unwrap().phase.as_deref() == Some("Failed")).await;

    let peak = peak_memory_kib(world.operator().pid());
    assert!(peak < MAX_MEMORY_KIB, "{peak} KiB");
    println!("beside {} faulty clusters: {rounds} rounds of the healthy one in 10 s, peak {peak} KiB", rows.len());
    let shown = world.everything_shown().await;
    for secret in [PLANTED_TOKEN, PLANTED_ANSWER, "planted"] {
        assert!(!shown.contains(secret), "{secret} leaked: {}", around(&shown, secret));
    }
    assert!(shown.contains("healthy") && shown.contains("ksit_targets"), "the output is complete");
}

/// Rounds of the healthy cluster in ten seconds, from its API server's audit log.
async fn count_healthy_rounds(plane: &testkit::ControlPlane) -> usize {
    let mark = plane.audit().mark();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let events = plane.audit().since(mark).unwrap();
    events.iter().filter(|event| event.user.username == HEALTHY).count()
}

fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn around<'a>(text: &'a str, word: &'a str) -> &'a str {
    let at = text.find(word).unwrap_or(0);
    let (from, to) = (at.saturating_sub(150), (at + 150).min(text.len()));
    text.get(from..to).unwrap_or(word)
}

/// An outage of a gateway says nothing about the cluster's tools.
#[tokio::test]
async fn gateway_404_does_not_count_as_missing_tool() {
    let mut world = World::new("faults-front-door").await;
    let server = FaultyApiServer::start(Fault::FrontDoor(404)).await;
    world.target("one", &server.kubeconfig()).await;
    let spec = json!({ "type": "flux", "targetClusters": ["one"], "whenAbsent": "NotInstalled" });
    world.integration("flux", spec).await;
    world.start_operator(&[]).await;
    let target = world.until_target("one", |target| target.status.as_ref().is_some_and(|s| s.phase.is_some())).await;
    assert_ne!(condition(&target, "Reachable").unwrap().status, "True", "{:?}", target.status);
    let target = world.until_reach("one", "Unreachable").await;
    let message = &condition(&target, "Reachable").unwrap().message;
    assert!(message.contains("answered 404 with something that is not the Kubernetes API's"), "{message}");
    let status = world.until_phase("flux", "Failed").await.status.unwrap();
    assert!(!status.message.unwrap().contains("without the tool"));
    server.set(Fault::None);
    world.until_reach("one", "Connected").await;
}

#[tokio::test]
async fn unauthorized_is_resolved_by_a_new_secret() {
    let mut world = World::new("faults-401").await;
    install_flux("faults-401").await;
    let plane = target().await;
    world.target("one", &plane.kubeconfig_with_token("no-such-token")).await;
    let spec = json!({ "type": "flux", "targetClusters": ["one"], "config": { "namespace": "faults-401" } });
    world.integration("flux", spec).await;
    world.start_operator(&[]).await;
    world.until_reach("one", "Unauthorized").await;
    world.secret("one-kubeconfig", json!({ "kubeconfig": plane.kubeconfig() })).await;
    world.until_reach("one", "Connected").await;
    world.until_phase("flux", "Running").await;
    assert!(!world.everything_shown().await.contains("no-such-token"));
}

#[tokio::test]
async fn stale_verdict_is_reported_again_even_if_unchanged() {
    let mut world = World::new("faults-stale").await;
    let server = FaultyApiServer::start(Fault::Status(401)).await;
    world.target("one", &server.kubeconfig()).await;
    world.start_operator(&["--round-timeout=10s"]).await;
    world.until_reach("one", "Unauthorized").await;
    server.set(Fault::NeverAnswer);
    world.until_reach("one", "Stale").await;
    server.set(Fault::Status(401));
    server.cut();
    world.until_reach("one", "Unauthorized").await;
}
