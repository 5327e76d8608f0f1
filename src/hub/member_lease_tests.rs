use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use kube::client::Body;
use kube::core::ObjectMeta;
use prometheus::HistogramOpts;
use serde_json::json;
use tokio::time::timeout;

use super::super::clock::Clock;
use super::super::election_tests::scripted_hub::{Fate, ScriptedHub};
use super::*;

const DEADLINE: Duration = Duration::from_secs(4);

fn me() -> Incarnation {
    Incarnation::new("ksit-0", "uid", "new")
}

fn leases(client: Client, board: &Arc<LeaseBoard>) -> MemberLeases {
    MemberLeases {
        hub: PromptClient::connected_by(Arc::new(move || Ok(client.clone())), DEADLINE).unwrap(),
        namespace: "ksit-system".to_owned(),
        installation: "ksit".to_owned(),
        me: me(),
        duration: Duration::from_secs(10),
        renew: Duration::from_secs(3),
        owner: None,
        first_checks: Arc::new(FirstChecks::new(me().name, board.clone())),
        renew_seconds: Histogram::with_opts(HistogramOpts::new("renewals", "Of a test.")).unwrap(),
    }
}

fn board() -> Arc<LeaseBoard> {
    Arc::new(LeaseBoard::new(Clock::start(), Duration::from_secs(7)))
}

fn lease(holder: &str, version: &str) -> Lease {
    let metadata = ObjectMeta {
        name: Some("ksit-0".to_owned()),
        resource_version: Some(version.to_owned()),
        ..ObjectMeta::default()
    };
    let spec = LeaseSpec { holder_identity: Some(holder.to_owned()), ..LeaseSpec::default() };
    Lease { metadata, spec: Some(spec) }
}

#[tokio::test(start_paused = true)]
async fn lease_restored_from_a_backup_is_taken_back() {
    for holder in ["ksit-0_uid_new", "ksit-0_uid_old", ""] {
        let (board, other) = (board(), board());
        let hub = ScriptedHub::new(None, [board.clone(), other], |_| Fate::prompt());
        hub.skip_versions(100);
        let leases = leases(hub.client(0), &board);
        let restored = async {
            sleep(Duration::from_secs(20)).await;
            hub.restore(&lease(holder, "7"));
            sleep(Duration::from_secs(20)).await;
        };
        tokio::select! {
            lost = leases.keep(&board) => panic!("{holder}: {lost}"),
            () = restored => {}
        }
        assert_eq!(hub.holder(), me().to_string(), "{holder}");
        assert_eq!(*board.history().changes().borrow(), 1, "{holder}: one rollback");
        assert!(board.lease("ksit-0").unwrap().metadata.resource_version.unwrap().len() < 3);
    }
}

#[tokio::test(start_paused = true)]
async fn lease_taken_by_another_process_ends_the_replica() {
    let (board, other) = (board(), board());
    let hub = ScriptedHub::new(None, [board.clone(), other], |_| Fate::prompt());
    let leases = leases(hub.client(0), &board);
    let stolen = async {
        sleep(Duration::from_secs(20)).await;
        hub.replace(&lease("ksit-0_uid_other", ""));
    };
    let (lost, ()) = tokio::join!(timeout(Duration::from_secs(40), leases.keep(&board)), stolen);
    assert!(matches!(lost, Ok(LeaseLost::Taken { holder, .. }) if holder == "ksit-0_uid_other"));
}

#[tokio::test(start_paused = true)]
async fn lease_conflicts_are_retried_with_a_pause() {
    let request_count = Arc::new(AtomicUsize::new(0));
    let counted = request_count.clone();
    let contested = tower::service_fn(move |request: http::Request<Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let (code, body) = match *request.method() {
            Method::GET => (200, serde_json::to_value(lease("", "7")).unwrap()),
            _ => {
                (409, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 409 }))
            }
        };
        async move {
            sleep(Duration::from_millis(1)).await;
            let body = Body::from(body.to_string().into_bytes());
            Ok::<_, Infallible>(http::Response::builder().status(code).body(body).unwrap())
        }
    });
    let board = board();
    let leases = leases(Client::new(contested, "ksit-system"), &board);
    let _ = timeout(Duration::from_secs(10), leases.keep(&board)).await;
    // Each attempt reads, writes, and reads again.
    assert!(request_count.load(Ordering::Relaxed) <= 200, "{request_count:?} requests in 10 s");
}

#[tokio::test(start_paused = true)]
async fn lease_on_an_untrusted_hub_ends_the_replica_in_a_minute() {
    let untrusted = tower::service_fn(|_: http::Request<Body>| async {
        let why = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        Err::<http::Response<Body>, _>(std::io::Error::other(why))
    });
    let board = board();
    let leases = leases(Client::new(untrusted, "ksit-system"), &board);
    assert!(timeout(MAX_UNTRUSTED - Duration::from_secs(5), leases.keep(&board)).await.is_err());
    let lost = timeout(MAX_UNTRUSTED + Duration::from_secs(5), leases.keep(&board)).await;
    assert!(matches!(lost, Ok(LeaseLost::Untrusted { .. })), "{lost:?}");
}
