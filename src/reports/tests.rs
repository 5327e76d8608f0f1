//! Tests links over real TLS on the loopback interface.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use proptest::prelude::*;
use prost::Message;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::*;
use crate::domain::check_mode::CheckMode;
use crate::domain::component::{ComponentKind, SeenKind};
use crate::domain::fit::fit;
use crate::domain::fit::tests::{largest_report, largest_verdict};
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::managed::{Counts, FailingObject, ResourceSummary};
use crate::domain::reason::{Failure, Reason};
use crate::domain::replica::{Epoch, Incarnation, PodIdentity, ReplicaName, Term};
use crate::domain::report::{FromWorker, Heartbeat, TargetReport, ToWorker};
use crate::domain::verdict::{ComponentState, Observation, Phase, Reach, TargetVerdict, ToolVerdict};

const TEST_TIMEOUT: Duration = Duration::from_secs(30);

struct Service {
    address: String,
    sha256: String,
    incoming: tokio::sync::mpsc::Receiver<Incoming>,
    _task: JoinSet<()>,
}

/// Accepts the token "good", issued to the Pod ksit-1.
fn authenticator() -> Authenticator {
    Authenticator::new(|token| {
        let answer = match token.expose_secret() {
            "good" => Ok(PodIdentity { name: "ksit-1".to_owned(), uid: "uid".to_owned() }),
            _ => Err(AuthError::Refused("no such token".to_owned())),
        };
        std::future::ready(answer).boxed()
    })
}

async fn service() -> Service {
    service_for(std::sync::Arc::new(|_| true)).await
}

async fn service_for(is_member: IsMember) -> Service {
    let admission = Admission { auth: authenticator(), is_member };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let certificate = TermCertificate::generate(Term(1)).unwrap();
    let sha256 = certificate.sha256().to_owned();
    let (messages, incoming) = tokio::sync::mpsc::channel(4);
    let mut task = JoinSet::new();
    task.spawn(async move { drop(serve(listener, certificate, admission, messages).await) });
    Service { address, sha256, incoming, _task: task }
}

fn me() -> Incarnation {
    // The server takes the name from the token, not from the sender.
    Incarnation::new("mallory", "mallory", "nonce")
}

async fn link(service: &Service, token: &str) -> Result<Link, ConnectError> {
    connect(&service.address, &service.sha256, SecretString::from(token), &me()).await
}

fn heartbeat(epoch: i64) -> FromWorker {
    FromWorker::Heartbeat(Heartbeat {
        epoch: Epoch(epoch),
        targets: 7,
        late: vec![1, u64::MAX],
        set: Some(u64::MAX),
        confirms: true,
    })
}

#[tokio::test]
async fn link_carries_both_directions_under_the_token_name() {
    let mut service = service().await;
    let mut link = link(&service, "good").await.unwrap();
    link.to_coordinator.send(heartbeat(3)).await.unwrap();
    let received = timeout(TEST_TIMEOUT, service.incoming.recv()).await.unwrap().unwrap();
    assert_eq!(received.message, heartbeat(3));
    assert_eq!(*received.sender, Incarnation::new("ksit-1", "uid", "nonce"));
    for answer in [ToWorker::Want { targets: vec![5, 6] }, ToWorker::Taken { sequence: 7 }, ToWorker::Confirm] {
        received.replies.send(answer.clone()).await.unwrap();
        assert_eq!(timeout(TEST_TIMEOUT, link.from_coordinator.recv()).await.unwrap(), Some(answer));
    }
}

#[tokio::test]
async fn wrong_token_is_refused() {
    let service = service().await;
    assert!(matches!(link(&service, "bad").await, Err(ConnectError::Refused(why)) if why == "no such token"));
}

#[tokio::test]
async fn certificate_with_another_fingerprint_is_refused() {
    let service = service().await;
    let other = TermCertificate::generate(Term(1)).unwrap();
    let link = connect(&service.address, other.sha256(), SecretString::from("good"), &me()).await;
    assert!(matches!(link, Err(ConnectError::Unreachable(_))));
}

#[tokio::test]
async fn connect_to_a_silent_server_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (fingerprint, me) = ("0".repeat(64), me());
    let link = connect(&address, &fingerprint, SecretString::from("good"), &me);
    assert!(matches!(timeout(TEST_TIMEOUT, link).await.unwrap(), Err(ConnectError::TimedOut)));
}

#[tokio::test]
async fn link_ends_with_either_side() {
    let mut service = service().await;
    let mut link = link(&service, "good").await.unwrap();
    link.to_coordinator.send(heartbeat(1)).await.unwrap();
    let received = timeout(TEST_TIMEOUT, service.incoming.recv()).await.unwrap().unwrap();
    drop(service);
    assert_eq!(timeout(TEST_TIMEOUT, link.from_coordinator.recv()).await.unwrap(), None);
    drop(link);
    timeout(TEST_TIMEOUT, received.replies.closed()).await.unwrap();
}

#[tokio::test]
async fn oversized_message_ends_only_its_own_link() {
    let mut service = service().await;
    let (bad, good) = (link(&service, "good").await.unwrap(), link(&service, "good").await.unwrap());
    let late = vec![7; MAX_MESSAGE_SIZE];
    bad.to_coordinator
        .send(FromWorker::Heartbeat(Heartbeat { epoch: Epoch(1), targets: 0, late, set: None, confirms: false }))
        .await
        .unwrap();
    good.to_coordinator.send(heartbeat(2)).await.unwrap();
    let received = timeout(TEST_TIMEOUT, service.incoming.recv()).await.unwrap().unwrap();
    assert_eq!(received.message, heartbeat(2));
}

#[tokio::test]
async fn a12_connections_without_an_accepted_call_are_closed() {
    let service = service().await;
    let connector = TlsConnector::from(Arc::new(tls::client_config(&service.sha256).unwrap()));
    let silent = TcpStream::connect(&service.address).await.unwrap();
    let tcp = TcpStream::connect(&service.address).await.unwrap();
    let idle = connector.connect("ksit".try_into().unwrap(), tcp).await.unwrap();
    // A worker's connection stays open even if idle.
    let mut link = link(&service, "good").await.unwrap();
    let refused = timeout(TEST_TIMEOUT, super::tests::link(&service, "bad")).await.unwrap();
    assert!(matches!(refused, Err(ConnectError::Refused(_))));
    for mut connection in [Box::new(silent) as Box<dyn AsyncRead + Unpin + Send>, Box::new(idle)] {
        let closed = timeout(TEST_TIMEOUT, connection.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "it is still open");
    }
    tokio::time::sleep(TIMEOUT).await;
    assert!(link.from_coordinator.try_recv().is_err_and(|error| error == TryRecvError::Empty));
}

#[tokio::test]
async fn processes_without_a_lease_are_refused() {
    let service = service_for(std::sync::Arc::new(|_| false)).await;
    let refused = link(&service, "good").await;
    assert!(matches!(&refused, Err(ConnectError::Refused(why)) if why.contains("Lease")), "{:?}", refused.err());
}

#[tokio::test]
async fn links_end_with_the_membership() {
    let (lease, held) = tokio::sync::watch::channel(true);
    let mut service = service_for(std::sync::Arc::new(move |_| *held.borrow())).await;
    let mut link = link(&service, "good").await.unwrap();
    link.to_coordinator.send(heartbeat(1)).await.unwrap();
    assert_eq!(timeout(TEST_TIMEOUT, service.incoming.recv()).await.unwrap().unwrap().message, heartbeat(1));
    lease.send_replace(false);
    link.to_coordinator.send(heartbeat(2)).await.unwrap();
    assert_eq!(timeout(TEST_TIMEOUT, link.from_coordinator.recv()).await.unwrap(), None);
    assert!(service.incoming.try_recv().is_err(), "its messages are dropped");
}

#[tokio::test]
async fn token_is_reviewed_once() {
    let request_count = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = request_count.clone();
    let auth = Authenticator::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Err(AuthError::Refused("no".to_owned()))).boxed()
    });
    for _ in 0..3 {
        assert!(auth.pod(SecretString::from("x")).await.is_err());
    }
    assert_eq!(request_count.load(Ordering::Relaxed), 1);
}

fn observation() -> impl Strategy<Value = Observation> {
    let kinds = ComponentKind::ALL.map(SeenKind::Known).into_iter().chain(SeenKind::read("Widget"));
    let kind = prop::sample::select(kinds.collect::<Vec<_>>());
    let states = ComponentState::ALL.into_iter().chain(ComponentState::read("Sleeping"));
    let state = prop::sample::select(states.collect::<Vec<_>>());
    let since = prop::option::of((0..4_000_000_000_i64).prop_map(|since| Timestamp::from_second(since).unwrap()));
    (kind, state, ".*", ".*", any::<Option<u32>>(), any::<Option<u32>>(), since, prop::option::of(".*")).prop_map(
        |(kind, state, namespace, name, ready, desired, since, message)| Observation {
            kind,
            state,
            namespace,
            name,
            ready,
            desired,
            since,
            message,
        },
    )
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![
        Just(Reach::Initializing),
        Just(Reach::Connected),
        Just(Reach::Paused),
        Just(Reach::Stale),
        ".*".prop_map(|message| Reach::Failed(Failure::new(Reason::Unreachable, message))),
        ".*".prop_map(|message| Reach::Failed(Failure::new(Reason::read("NotKnownYet").unwrap(), message))),
    ]
}

fn mode() -> impl Strategy<Value = CheckMode> {
    let polled = prop::sample::select(vec![Reason::WatchForbidden, Reason::NoHttp2]);
    prop_oneof![
        Just(CheckMode::Watch),
        (polled, ".*").prop_map(|(reason, message)| CheckMode::Poll(Failure::new(reason, message)))
    ]
}

/// All reasons of this version, and one of a later version.
fn reasons() -> Vec<Reason> {
    Reason::ALL.iter().copied().chain(Reason::read("NotKnownYet")).collect()
}

fn resources() -> impl Strategy<Value = Vec<ResourceSummary>> {
    let since = (0..1_i64 << 34).prop_map(|seconds| Timestamp::from_second(seconds).unwrap());
    let object = ("[a-z]{0,9}", "[a-z]{1,9}", prop::option::of("[A-Z][a-z]{1,9}"), prop::option::of(since));
    let object = object.prop_map(|(namespace, name, reason, since)| FailingObject { namespace, name, reason, since });
    let counts = (any::<[u32; 5]>(), prop::collection::vec(object, 0..3)).prop_map(
        |([total, progressing, suspended, failing, unknown], worst)| Counts {
            total,
            progressing,
            suspended,
            failing,
            unknown,
            worst,
        },
    );
    let summary = ("[A-Z][a-z]{1,9}", counts, prop::option::of(".*"))
        .prop_map(|(kind, counts, message)| ResourceSummary { kind, counts, message });
    prop::collection::vec(summary, 0..3)
}

fn report() -> impl Strategy<Value = TargetReport> {
    let tool = (
        "[a-z]{1,9}",
        prop::sample::select(Phase::ALL.into_iter().chain(Phase::read("Suspended")).collect::<Vec<_>>()),
        prop::sample::select(reasons()),
        ".*",
        prop::collection::vec(observation(), 0..4),
        resources(),
    );
    let tool = tool.prop_map(|(name, phase, reason, message, observations, resources)| {
        (
            IntegrationKey::new("fleet", name.as_str()),
            ToolVerdict { phase, reason, message, observations, version: Some("1.2.3".to_owned()), resources },
        )
    });
    let ends = prop::option::of((0..1_i64 << 34).prop_map(|seconds| Timestamp::from_second(seconds).unwrap()));
    let numbers = (any::<i64>(), any::<i64>(), any::<u32>(), ends);
    let options = (prop::option::of(".*"), prop::option::of(".*"), prop::option::of(mode()), prop::option::of(".*"));
    (reach(), prop::collection::vec(tool, 0..4), numbers, options).prop_map(
        |(
            reach,
            tools,
            (generation, epoch, next, credential_ends),
            (secret_version, server, mode, renewal_failure),
        )| TargetReport {
            target: TargetKey::new("fleet", "c1"),
            verdict: Arc::new(TargetVerdict { reach, tools }),
            omitted: epoch.unsigned_abs() as u32,
            mode,
            generation,
            secret_version,
            server,
            credential_ends,
            renewal_failure,
            note: None,
            reported_by: ReplicaName::new("ksit-1"),
            epoch: Epoch(epoch),
            next: Duration::from_millis(u64::from(next)),
        },
    )
}

proptest! {
    #[test]
    fn report_round_trips_through_the_codec(report in report(), sequence: u64, meaning: Option<u128>) {
        let sent = FromWorker::Report { sequence, meaning, report: Box::new(report) };
        prop_assert_eq!(codec::decode(codec::encode(sent.clone()), &ReplicaName::new("ksit-1")), Ok(sent));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn report_of_any_verdict_fits_a_message(verdict in largest_verdict()) {
        let report = largest_report(fit(&Arc::new(verdict)));
        let sent = codec::encode(FromWorker::Report { sequence: u64::MAX, meaning: Some(u128::MAX), report: Box::new(report) }).encoded_len();
        prop_assert!(sent <= MAX_MESSAGE_SIZE, "a report of {} bytes", sent);
    }
}

#[test]
fn unreadable_messages_are_refused_by_field() {
    for reach in ["", "not a name", "Line\nbreak", &"A".repeat(65)] {
        let report = wire::Report { reach: reach.to_owned(), ..wire::Report::default() };
        let message = wire::WorkerMessage { message: Some(wire::worker_message::Message::Report(report)) };
        let error = codec::decode(message, &ReplicaName::new("ksit-1")).unwrap_err();
        assert!(error.to_string().starts_with("reach of a message"), "{error}");
    }
    let empty = wire::WorkerMessage { message: None };
    assert!(codec::decode(empty, &ReplicaName::new("ksit-1")).is_err());
    let truncated = wire::Digests { sequence: 1, epoch: 1, digests: vec![0; 25] };
    let truncated = wire::WorkerMessage { message: Some(wire::worker_message::Message::Digests(truncated)) };
    assert!(codec::decode(truncated, &ReplicaName::new("ksit-1")).is_err());
}

#[tokio::test]
async fn flooding_worker_is_rate_limited() {
    let mut service = service().await;
    let link = link(&service, "good").await.unwrap();
    let start = std::time::Instant::now();
    let flood = async {
        for epoch in 0..5_000 {
            link.to_coordinator.send(heartbeat(epoch)).await.unwrap();
        }
    };
    let received = async {
        for epoch in 0..5_000 {
            assert_eq!(service.incoming.recv().await.unwrap().message, heartbeat(epoch), "none is lost");
        }
    };
    timeout(TEST_TIMEOUT, async { tokio::join!(flood, received) }).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?} for three seconds' worth", start.elapsed());
}
