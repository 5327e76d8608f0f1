//! Failures that a round reports for a faulty target, and their cost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxies;
mod rounds;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use ksit::domain::check_mode::CheckMode;
use ksit::domain::keys::TargetKey;
use ksit::domain::reason::{Failure, Reason};
use ksit::domain::snapshot::{Answer, ListKind, ObjectRef, Query, Snapshot};
use ksit::targets::kubeconfig::{AllowedProxies, Policy, vet};
use ksit::targets::{
    Authority, Cluster, ClusterManager, Connection, Credential, Limits, Protocol, Reflector, Settings, Standing,
    Trusted,
};

use crate::faults::{Certificate, FLOOD_BYTES, Fault, FaultyApiServer, Http, PLANTED_ANSWER, PLANTED_TOKEN};

/// Short, so that hung requests cost the tests little time.
const ROUND: Duration = Duration::from_secs(3);
const CAP: usize = 1024 * 1024;

fn limits() -> Arc<Limits> {
    let settings =
        Settings { round_timeout: ROUND, connect_timeout: ROUND / 3, body_bytes: CAP, ..Settings::default() };
    Arc::new(Limits::new(settings))
}

fn connection(server: &FaultyApiServer) -> Connection {
    connection_of(&server.kubeconfig())
}

pub fn connection_of(kubeconfig: &str) -> Connection {
    let policy = Policy { allow_loopback: true, ..Policy::default() };
    vet(kubeconfig.as_bytes(), &policy).unwrap()
}

fn cluster(server: &FaultyApiServer) -> Cluster {
    Cluster::new(connection(server), limits())
}

pub fn list(kind: ListKind, namespace: &str) -> Query {
    Query::List { kind, namespace: namespace.to_owned() }
}

/// The round of argocd and a CRD: five lists, two GETs by name.
fn queries() -> BTreeSet<Query> {
    BTreeSet::from([
        list(ListKind::Deployment, "argocd"),
        list(ListKind::StatefulSet, "argocd"),
        list(ListKind::DaemonSet, "argocd"),
        list(ListKind::Service, "argocd"),
        list(ListKind::EndpointSlice, "argocd"),
        Query::Object(ObjectRef::crd("applications.argoproj.io")),
        Query::Object(ObjectRef::namespace("argocd")),
    ])
}

/// Reads a round that must fail, and asserts what holds for every failure.
async fn failure(server: &FaultyApiServer) -> Failure {
    failure_of(&cluster(server), server).await
}

async fn failure_of(cluster: &Cluster, server: &FaultyApiServer) -> Failure {
    let started = Instant::now();
    let failure = Reflector::read(cluster, &queries(), Standing::Healthy).await.expect_err("the round should fail");
    assert!(started.elapsed() < ROUND + Duration::from_secs(1), "{failure} took {:?}", started.elapsed());
    let shown = format!("{failure} {failure:?} {:?}", cluster.connection());
    assert!(!shown.contains("planted"), "{shown}");
    assert!(shown.contains(&server.address().to_string()), "{shown}");
    failure
}

async fn assert_healthy(cluster: &Cluster) -> Snapshot {
    let snapshot = Reflector::read(cluster, &queries(), Standing::Healthy).await.expect("a healthy round");
    assert!(queries().iter().all(|query| snapshot.contains_key(query)));
    snapshot
}

/// One more request, as there is a CustomResourceDefinition.
const DISCOVERY: usize = 1;

#[tokio::test]
async fn healthy_target_uses_one_connection_for_all_rounds() {
    for (http, protocol) in [(Http::Two, Protocol::Http2), (Http::One, Protocol::Http1)] {
        let server = FaultyApiServer::with(Fault::None, http, Certificate::Good).await;
        let cluster = cluster(&server);
        assert_eq!(cluster.protocol(), None);
        let snapshot = assert_healthy(&cluster).await;
        let Answer::Workloads(found) = &snapshot[&list(ListKind::Deployment, "argocd")] else { panic!("{snapshot:?}") };
        assert_eq!((found[0].name.as_str(), found[0].state.desired, found[0].state.ready), ("web", 1, 1));
        assert_eq!(snapshot[&Query::Object(ObjectRef::namespace("argocd"))], Answer::Object(Arc::default()));
        assert_healthy(&cluster).await;
        assert_eq!(cluster.protocol(), Some(protocol));
        assert_eq!((server.connections(), server.requests()), (1, 2 * (queries().len() + DISCOVERY)), "{http:?}");
        assert_eq!(server.asked_host(), Some(server.address().to_string()), "{http:?}");
    }
}

#[tokio::test]
async fn every_fault_has_its_reason() {
    use Reason::*;
    let table = [
        (Fault::Refuse, ConnectFailed),
        (Fault::HangInTls, TimedOut),
        (Fault::NeverAnswer, TimedOut),
        (Fault::Drip, TimedOut),
        (Fault::Status(500), ServerError),
        (Fault::Status(503), ServerError),
        (Fault::Status(401), Unauthorized),
        (Fault::Status(302), InvalidAnswer),
        (Fault::Status(418), InvalidAnswer),
        (Fault::Status(410), InvalidAnswer),
        (Fault::Status(204), InvalidAnswer),
        (Fault::FrontDoor(404), InvalidAnswer),
        (Fault::FrontDoor(403), InvalidAnswer),
        (Fault::FrontDoor(410), InvalidAnswer),
        (Fault::FrontDoor(400), InvalidAnswer),
        (Fault::FrontDoor(200), InvalidAnswer),
        (Fault::FrontDoor(401), Unauthorized),
        (Fault::FrontDoor(503), ServerError),
        (Fault::RefuseWithFlood, InvalidAnswer),
        (Fault::Throttle("1"), Throttled),
        (Fault::InvalidJson, InvalidAnswer),
        (Fault::Flood { content_length: false }, AnswerTooLarge),
        (Fault::Flood { content_length: true }, AnswerTooLarge),
        (Fault::ResetMidBody, ConnectionLost),
    ];
    let rows = table.into_iter().flat_map(|row| [(row, Http::One), (row, Http::Two)]);
    join_all(rows.map(|((fault, reason), http)| async move {
        let server = FaultyApiServer::with(fault, http, Certificate::Good).await;
        assert_eq!(failure(&server).await.reason, reason, "{fault:?} over {http:?}");
    }))
    .await;
}

/// The message is the same for every `Retry-After`.
const THROTTLED: &str =
    "HOST is throttling (429); look at API Priority and Fairness of the target, and at proxies between";

#[tokio::test]
async fn messages_name_the_host_and_the_remedy() {
    for (fault, message) in [
        (Fault::Refuse, "HOST refuses connections; check that the API server runs and the port is right"),
        (Fault::Status(401), "HOST does not accept the credential (401); put a valid one into the kubeconfig"),
        (Fault::Status(500), "HOST answered 500; look at the API server of the target"),
        (Fault::Throttle("99999999999999999999"), THROTTLED),
        (Fault::Throttle("-3"), THROTTLED),
        (Fault::Status(307), "HOST redirects (307), which ksit does not follow; give the API server's own address"),
        (
            Fault::FrontDoor(404),
            "HOST answered 404 with something that is not the Kubernetes API's; check the address and the path of server",
        ),
        (
            Fault::InvalidJson,
            "HOST sent an answer that is not the Kubernetes API's; check that server is an API server",
        ),
        (
            Fault::Flood { content_length: false },
            "HOST sent an answer of more than 1024 KiB, which is the most that ksit reads",
        ),
    ] {
        let server = FaultyApiServer::start(fault).await;
        let expected = message.replace("HOST", &server.address().to_string());
        assert_eq!(failure(&server).await.message, expected);
    }
}

#[tokio::test]
async fn untrusted_certificate_fails_at_once() {
    for (certificate, reason, words) in [
        (Certificate::UnknownCa, Reason::CertificateUnknown, "is not signed by the CA in the kubeconfig"),
        (Certificate::Expired, Reason::CertificateExpired, "has expired"),
        (Certificate::WrongName, Reason::CertificateNameMismatch, "is for another name"),
    ] {
        let server = FaultyApiServer::with(Fault::None, Http::Two, certificate).await;
        let failure = failure(&server).await;
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
        assert!(!failure.reason.is_transient());
        assert_eq!(server.requests(), 0, "no credential was sent");
    }
    let server = FaultyApiServer::with(Fault::None, Http::Two, Certificate::WrongName).await;
    let named = server.kubeconfig().replace("    server:", "    tls-server-name: elsewhere.example\n    server:");
    assert_healthy(&Cluster::new(connection_of(&named), limits())).await;
}

#[tokio::test]
async fn server_without_tls_is_distinguished_from_a_dead_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = FaultyApiServer::start(Fault::None).await;
    let plain = listener.local_addr().unwrap().to_string();
    let kubeconfig = server.kubeconfig().replace(&server.address().to_string(), &plain);
    let speak = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let cluster = Cluster::new(connection_of(&kubeconfig), limits());
    let read = async { Reflector::read(&cluster, &queries(), Standing::Healthy).await };
    let failure = tokio::select! { read = read => read.unwrap_err(), () = speak => unreachable!() };
    assert_eq!(failure.reason, Reason::TlsFailed, "{failure}");
}

#[tokio::test]
async fn unresolvable_name_is_reported() {
    let server = FaultyApiServer::start(Fault::None).await;
    let kubeconfig = server.kubeconfig().replace(&server.address().to_string(), "no-such-host.invalid:6443");
    let settings = Settings {
        connect_timeout: Duration::from_secs(30),
        round_timeout: Duration::from_secs(30),
        ..Settings::default()
    };
    let cluster = Cluster::new(connection_of(&kubeconfig), Arc::new(Limits::new(settings)));
    let failure = Reflector::read(&cluster, &queries(), Standing::Healthy).await.unwrap_err();
    assert_eq!(failure.reason, Reason::NameNotResolved, "{failure}");
}

#[tokio::test]
async fn flood_is_read_up_to_the_cap_only() {
    for http in [Http::One, Http::Two] {
        for content_length in [false, true] {
            let server = FaultyApiServer::with(Fault::Flood { content_length }, http, Certificate::Good).await;
            let only = BTreeSet::from([list(ListKind::Deployment, "argocd")]);
            let failure = Reflector::read(&cluster(&server), &only, Standing::Healthy).await.unwrap_err();
            assert_eq!(failure.reason, Reason::AnswerTooLarge);
            // Kernel buffers on both sides add to the bytes that were read.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let allowed = CAP + 12 * 1024 * 1024;
            let sent = server.bytes_sent();
            assert!(sent < allowed && allowed < FLOOD_BYTES / 10, "{sent} bytes over {http:?}");
        }
    }
}

#[tokio::test]
async fn forbidden_or_absent_affects_one_query_only() {
    for http in [Http::One, Http::Two] {
        let server = FaultyApiServer::with(Fault::ForbidOnly("services"), http, Certificate::Good).await;
        let cluster = cluster(&server);
        for _ in 0..2 {
            let snapshot = assert_healthy(&cluster).await;
            assert_eq!(snapshot[&list(ListKind::Service, "argocd")], Answer::Forbidden);
            assert!(matches!(snapshot[&list(ListKind::Deployment, "argocd")], Answer::Workloads(_)));
        }
        assert_eq!(server.connections(), 1, "403 keeps the connection");
    }
    let server = FaultyApiServer::start(Fault::Status(404)).await;
    let snapshot = assert_healthy(&cluster(&server)).await;
    assert!(snapshot.values().all(|answer| *answer == Answer::NotFound));
}

#[tokio::test]
async fn endpoint_slices_of_an_old_api_server_are_absent() {
    let server = FaultyApiServer::start(Fault::NoSlices).await;
    let snapshot = assert_healthy(&cluster(&server)).await;
    assert_eq!(snapshot[&list(ListKind::EndpointSlice, "argocd")], Answer::NotFound);
    assert!(matches!(snapshot[&list(ListKind::Endpoints, "argocd")], Answer::Endpoints(_)), "{snapshot:?}");
}

#[tokio::test]
async fn refusal_with_an_endless_body_is_cut_short() {
    for http in [Http::One, Http::Two] {
        let server = FaultyApiServer::with(Fault::RefuseWithFlood, http, Certificate::Good).await;
        assert_eq!(failure(&server).await.reason, Reason::InvalidAnswer, "{http:?}");
        // Over HTTP/1.1 each refusal costs its connection, and the bytes in kernel buffers.
        assert!(server.bytes_sent() < FLOOD_BYTES / 4, "{} bytes over {http:?}", server.bytes_sent());
    }
}

#[tokio::test]
async fn retry_after_is_honoured_up_to_a_cap() {
    let server = FaultyApiServer::start(Fault::Throttle("99999999999999999999")).await;
    let cluster = cluster(&server);
    assert_eq!(failure_of(&cluster, &server).await.reason, Reason::Throttled);
    let requests = server.requests();
    let wait = cluster.retry_at().unwrap() - tokio::time::Instant::now();
    assert!(wait > Duration::from_secs(290) && wait <= Duration::from_secs(300), "{wait:?}");
    let again = failure_of(&cluster, &server).await;
    assert_eq!((again.reason, server.requests()), (Reason::Throttled, requests));

    let server = FaultyApiServer::start(Fault::Throttle("0")).await;
    let cluster = Cluster::new(connection(&server), limits());
    assert_eq!(failure_of(&cluster, &server).await.reason, Reason::Throttled);
    server.set(Fault::None);
    assert_healthy(&cluster).await;
    assert_eq!(server.connections(), 1, "throttling keeps the connection");
}
