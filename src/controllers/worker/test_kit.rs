//! Fixtures for worker tests: a FAKE hub with one Secret, for failures that a real one can't produce on demand.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use super::{Assignment, CheckBy, TokenMaker, Tokens, WorkerContext, WorkerSettings};
use crate::domain::desired::DesiredTarget;
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::replica::{Epoch, ReplicaName};
use crate::domain::report::TargetReport;
use crate::domain::verdict::{Reach, TargetVerdict};
use crate::hub::{FirstChecks, encoded_secret};
use crate::observability::{Metrics, TargetMetrics};
use crate::targets::kubeconfig::Policy;
use crate::targets::{ClusterManager, Limits, Settings};

/// How the hub answers a request.
#[derive(Clone, Copy)]
pub(super) enum Hub {
    /// Returns the Secret. Nothing listens at its kubeconfig's server, except with [`hub_of`].
    Answers,
    Down,
    /// Panics in the caller.
    Panics,
}

/// A hub whose behaviour the sender sets, request by request.
pub(super) fn hub(state: Hub) -> (watch::Sender<Hub>, Client) {
    hub_of(state, 1)
}

/// Like [`hub`], with a kubeconfig that points at `port` on localhost.
pub(super) fn hub_of(state: Hub, port: u16) -> (watch::Sender<Hub>, Client) {
    let (sender, state) = watch::channel(state);
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertificateParams::new(vec!["c1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c1",
        "contexts": [{ "name": "c1", "context": { "cluster": "c1", "user": "c1" } }],
        "clusters": [{ "name": "c1", "cluster": { "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": k8s_openapi::ByteString(ca.pem().into_bytes()) } }],
        "users": [{ "name": "c1", "user": { "token": "secret" } }],
    });
    let secret = encoded_secret("1", "kubeconfig", kubeconfig.to_string().into_bytes());
    let service = tower::service_fn(move |_: http::Request<Body>| {
        let (state, secret) = (*state.borrow(), secret.clone());
        async move {
            match state {
                Hub::Answers => Ok(http::Response::new(Body::from(secret))),
                Hub::Down => Err(std::io::Error::other("the hub is down")),
                Hub::Panics => panic!("on purpose"),
            }
        }
    });
    (sender, Client::new(service, "fleet"))
}

pub(super) fn context(hub: Client) -> WorkerContext {
    let limits = Limits::new(Settings { round_timeout: Duration::from_secs(2), ..Settings::default() });
    WorkerContext {
        tokens: Tokens::new(TokenMaker::new(hub.clone(), Duration::from_secs(3600))),
        hub,
        clusters: ClusterManager::new(Arc::new(limits)),
        policy: Policy { allow_loopback: true, ..Policy::default() },
        secret_reads: Semaphore::new(1),
        first_checks: Arc::new(FirstChecks::at_once()),
        reports: Arc::default(),
        health: Arc::default(),
        metrics: Metrics::new().unwrap(),
        shortage: Default::default(),
        settings: WorkerSettings {
            replica: ReplicaName::new("ksit-0"),
            interval: Duration::from_secs(30),
            failure_threshold: 3,
            check_by: CheckBy::Auto,
            access_namespaces: Default::default(),
            renew_tokens: true,
            cluster_profiles: true,
            target_metrics: TargetMetrics::On,
        },
    }
}

/// A report of a reachable cluster.
pub(super) fn report(target: &TargetKey) -> (Box<TargetReport>, Digest) {
    let verdict = Arc::new(TargetVerdict { reach: Reach::Connected, tools: Vec::new() });
    let report = TargetReport {
        generation: 1,
        reported_by: ReplicaName::new("ksit-0"),
        epoch: Epoch(1),
        ..TargetReport::new(target.clone(), verdict)
    };
    (Box::new(report), Digest::of(target, [target.name()]))
}

pub(super) fn assignment() -> Assignment {
    let target = DesiredTarget {
        key: TargetKey::new("fleet", "c1"),
        cluster_name: "c1".into(),
        labels: Default::default(),
        secret_name: "c1-kubeconfig".to_owned(),
        secret_key: None,
        access: None,
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
        profile: None,
    }
}
