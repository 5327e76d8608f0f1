//! Measures a coordinator change in a healthy fleet: one digest per target, compared with the status on the hub.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ksit::domain::check_mode::CheckMode;
use ksit::domain::component::ComponentKind;
use ksit::domain::digest::Digest;
use ksit::domain::keys::{IntegrationKey, TargetKey};
use ksit::domain::ownership::{Ownership, Stamp};
use ksit::domain::reason::Reason;
use ksit::domain::replica::{Epoch, ReplicaName, Term};
use ksit::domain::report::TargetReport;
use ksit::domain::shard_map::ShardMap;
use ksit::domain::slot::Slot;
use ksit::domain::status::{TargetStatus, Writer, target_status};
use ksit::domain::verdict::{ComponentState, Observation, Phase, Reach, TargetVerdict, ToolVerdict};

/// Tools of each target.
const TOOLS: [&str; 5] = ["argocd", "cert-manager", "flux", "istio", "prometheus"];
const COMPONENTS: usize = 4;

/// Returns the time of the comparison and the size of all digests in bytes.
pub fn compare(targets: &[TargetKey], map: &ShardMap) -> (Duration, usize) {
    let status = healthy();
    let digests: Vec<Digest> = targets.iter().map(|target| status.digest(target)).collect();
    let names: BTreeMap<u64, &TargetKey> = targets.iter().map(|target| (Digest::name(target), target)).collect();
    let mut ownership = Ownership::default();
    let began = Instant::now();
    ownership.learn(map);
    let mut differing = 0;
    for digest in &digests {
        let Some(target) = names.get(&digest.target) else { continue };
        let Some(sender) = map.owner(Slot::of(target)) else { continue };
        let accepted = ownership.accept(&Stamp { sender, target, epoch: map.epoch, sequence: 1 });
        if accepted.is_err() || status.digest(target) != *digest {
            differing += 1;
        }
    }
    let took = began.elapsed();
    assert_eq!(differing, 0, "the digests of a healthy fleet are those of its statuses");
    (took, digests.len() * Digest::LENGTH)
}

/// The status of a healthy target.
fn healthy() -> TargetStatus {
    let observation = |number: usize| Observation {
        kind: ComponentKind::Deployment.into(),
        namespace: "tools-system".to_owned(),
        name: format!("component-{number}"),
        state: ComponentState::Healthy,
        ready: Some(2),
        desired: Some(2),
        since: None,
        message: None,
    };
    let tool = ToolVerdict {
        phase: Phase::Running,
        reason: Reason::Healthy,
        message: "all 4 components are healthy".to_owned(),
        observations: (0..COMPONENTS).map(observation).collect(),
        version: Some("2.13.1".to_owned()),
        resources: Vec::new(),
    };
    let tools = TOOLS.map(|name| (IntegrationKey::new("fleet", name), tool.clone()));
    let report = TargetReport {
        target: TargetKey::new("fleet", "any"),
        verdict: TargetVerdict { reach: Reach::Connected, tools: tools.into_iter().collect() }.into(),
        omitted: 0,
        mode: Some(CheckMode::Watch),
        generation: 1,
        secret_version: Some("12345".to_owned()),
        server: Some("api.cluster.example:6443".to_owned()),
        credential_ends: None,
        renewal_failure: None,
        note: None,
        reported_by: ReplicaName::new("ksit-0"),
        epoch: Epoch(1),
        next: Duration::from_secs(30),
    };
    let writer = Writer { term: Term(1), managed_by: "fleet/ksit".to_owned(), now: jiff::Timestamp::UNIX_EPOCH };
    target_status(&report, |tool| tool.to_string(), None, &writer)
}
