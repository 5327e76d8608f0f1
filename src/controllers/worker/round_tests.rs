//! Rounds while the hub is away.

use std::sync::atomic::{AtomicBool, Ordering};

use kube::Client;
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::controllers::worker::{Budget, WorkerSettings};
use crate::domain::desired::DesiredTarget;
use crate::domain::keys::TargetKey;
use crate::domain::replica::ReplicaName;
use crate::hub::{Clock, FirstChecks, LeaseBoard};
use crate::observability::Metrics;
use crate::targets::kubeconfig::Policy;
use crate::targets::{ClusterManager, Limits, Settings};

/// A hub that has one Secret, and answers as long as `is_up`. Nobody listens where its kubeconfig points.
fn hub(is_up: Arc<AtomicBool>) -> Client {
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertificateParams::new(vec!["c1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c1",
        "contexts": [{ "name": "c1", "context": { "cluster": "c1", "user": "c1" } }],
        "clusters": [{ "name": "c1", "cluster": { "server": "https://127.0.0.1:1",
            "certificate-authority-data": k8s_openapi::ByteString(ca.pem().into_bytes()) } }],
        "users": [{ "name": "c1", "user": { "token": "secret" } }],
    });
    let data = k8s_openapi::ByteString(kubeconfig.to_string().into_bytes());
    let secret = json!({ "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "c1-kubeconfig", "resourceVersion": "1" }, "data": { "kubeconfig": data } });
    let service = tower::service_fn(move |_: http::Request<Body>| {
        let answer = match is_up.load(Ordering::Relaxed) {
            true => Ok(http::Response::new(Body::from(secret.to_string().into_bytes()))),
            false => Err(std::io::Error::other("the hub is away")),
        };
        std::future::ready(answer)
    });
    Client::new(service, "fleet")
}

fn context(hub: Client) -> WorkerContext {
    let board = Arc::new(LeaseBoard::new(Clock::start(), Duration::from_secs(6)));
    let limits = Limits::new(Settings { round_timeout: Duration::from_secs(2), ..Settings::default() });
    WorkerContext {
        hub,
        clusters: ClusterManager::new(Arc::new(limits)),
        policy: Policy { allow_loopback: true, ..Policy::default() },
        budget: Budget::new(1),
        first_checks: Arc::new(FirstChecks::new(ReplicaName::new("ksit-0"), board)),
        reports: Arc::default(),
        health: Arc::default(),
        metrics: Metrics::new().unwrap(),
        settings: WorkerSettings {
            replica: ReplicaName::new("ksit-0"),
            interval: Duration::from_secs(30),
            failure_threshold: 3,
            check_by: CheckBy::Auto,
        },
    }
}

fn assignment() -> Assignment {
    let target = DesiredTarget {
        key: TargetKey::new("fleet", "c1"),
        cluster_name: "c1".to_owned(),
        labels: Default::default(),
        secret_name: "c1-kubeconfig".to_owned(),
        secret_key: None,
        paused: false,
        paused_until: None,
        generation: 1,
    };
    Assignment {
        target: Arc::new(target),
        queries: Arc::default(),
        integrations: Vec::new(),
        interval: Duration::from_secs(30),
        secret_version: None,
    }
}

#[tokio::test]
async fn while_the_hub_is_away_a_target_is_looked_at_by_the_secret_that_is_known() {
    let is_up = Arc::new(AtomicBool::new(true));
    let (context, assignment) = (context(hub(is_up.clone())), assignment());
    let Ok(first) = run(&context, &assignment, None, false).await else { panic!("the hub answers") };
    let mut access = first.access.expect("the cluster can't be reached, which is no fault of the Secret");
    is_up.store(false, Ordering::Relaxed);
    // It was to be read again just now.
    access.reread_at = Instant::now();
    let Ok(second) = run(&context, &assignment, Some(access), false).await else { panic!("it was not looked at") };
    assert!(matches!(second.outcome, Some(Outcome::Failed(_))) == matches!(first.outcome, Some(Outcome::Failed(_))));
    assert_eq!(second.access.map(|access| access.secret_version), Some("1".to_owned()));
    // Without any Secret there is nothing to look with.
    assert!(run(&context, &assignment, None, false).await.is_err());
}
