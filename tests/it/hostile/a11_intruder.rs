//! A Pod that is not a replica sends reports to the coordinator.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use ksit::domain::keys::TargetKey;
use ksit::domain::reason::{Failure, Reason};
use ksit::domain::replica::{Epoch, Incarnation, ReplicaName};
use ksit::domain::report::{FromWorker, TargetReport};
use ksit::domain::shard_map::Contact;
use ksit::domain::verdict::{Reach, TargetVerdict};
use ksit::reports::{ConnectError, connect};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::resident;
use crate::kit::{Fleet, World, with_validation};

const MESSAGES: u64 = 600;
const MESSAGE_BYTES: usize = 900_000;
const MAX_GROWTH: u64 = 8 << 20;

#[tokio::test]
async fn a11_reports_of_strangers_are_refused_and_not_kept() {
    let _validation = with_validation().await;
    let mut fleet = Fleet::new("a11-intruder", 2).await;
    let map = fleet.settled(&[0, 1]).await;
    fleet.until_all("Running").await;
    let coordinator = fleet.replicas.replica(Fleet::coordinator(&map)).unwrap();
    let contact = map.contact.clone().unwrap();
    let before = resident(coordinator);
    // Another account of the namespace, and ksit's own account in a Pod without a Lease.
    for account in ["other", "ksit"] {
        let refused = intrude(&fleet.world, &contact, account).await;
        let grown = resident(coordinator).saturating_sub(before);
        println!("as {account}: refused: {refused:?}; the coordinator grew by {} KiB", grown / 1024);
        assert!(grown <= MAX_GROWTH, "{} MiB after reports as {account}", grown >> 20);
        assert!(matches!(refused, Some(ConnectError::Refused(_))), "as {account}: {refused:?}");
    }
    let logs = fleet.logs();
    assert!(!logs.contains("worker connected replica=intruder"), "{logs}");
    fleet.replicas.check().unwrap();
    fleet.until_all("Running").await;
}

/// Floods the coordinator with reports as a Pod of `account`; returns the error if the connection was refused.
async fn intrude(world: &World, contact: &Contact, account: &str) -> Option<ConnectError> {
    let (uid, token) = pod_and_token(world, account).await;
    let me = Incarnation::new(format!("intruder-{account}"), uid, "x");
    let link = match connect(&contact.address, &contact.certificate_sha256, token.into(), &me).await {
        Ok(link) => link,
        Err(refused) => return Some(refused),
    };
    for sequence in 1..=MESSAGES {
        let sent =
            link.to_coordinator.send(FromWorker::Report { sequence, meaning: None, report: Box::new(report(&me)) });
        if !matches!(tokio::time::timeout(Duration::from_secs(10), sent).await, Ok(Ok(()))) {
            return None;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    None
}

fn report(me: &Incarnation) -> TargetReport {
    let failure = Failure::new(Reason::Unreachable, "m".repeat(MESSAGE_BYTES));
    TargetReport {
        target: TargetKey::new("a11-intruder", "c1"),
        verdict: Arc::new(TargetVerdict { reach: Reach::Failed(failure), tools: Vec::new() }),
        mode: None,
        generation: 1,
        secret_version: None,
        server: None,
        credential_ends: None,
        renewal_failure: None,
        note: None,
        reported_by: ReplicaName::new(me.name.as_str()),
        omitted: 0,
        epoch: Epoch(9_000_000),
        next: Duration::ZERO,
    }
}

async fn pod_and_token(world: &World, account: &str) -> (String, String) {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), &world.namespace);
    if accounts.get_opt(account).await.unwrap().is_none() {
        let new = serde_json::from_value(json!({ "metadata": { "name": account } })).unwrap();
        accounts.create(&PostParams::default(), &new).await.unwrap();
    }
    let name = format!("intruder-{account}");
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pod = json!({ "metadata": { "name": name }, "spec": { "serviceAccountName": account,
        "containers": [{ "name": "c", "image": "c" }] } });
    let pod = pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let uid = pod.uid().unwrap();
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name),
        uid: Some(uid.clone()),
    };
    let spec = TokenRequestSpec {
        audiences: Some(vec!["reports.ksit.io".to_owned()]),
        bound_object_ref: Some(bound),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let issued = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    (uid, issued.status.unwrap().token.unwrap())
}
