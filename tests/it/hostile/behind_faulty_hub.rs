//! A fleet that reaches its hub through a faulty proxy, with a second namespace of clusters as the faults' victims.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use loadtest::run::{Fleet, NAMESPACE};
use loadtest::truth::{Findings, TruthChecker};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simulator::{Health, Kind, Simulator};
use testkit::faulty_hub::{FaultyHub, Rule};
use testkit::installation::Tuning;
use testkit::usage::Usage;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::own_hub::{TIMEOUT, logs, map, prepare};
use super::{INTERVAL, MEMORY, REPLICAS};
use crate::kit::eventually;

/// Targets in the fleet's own namespace. Faults of one object hit the first; the others are untouched.
pub const TARGETS: u32 = 61;

/// The name of the first target, and of its Secret.
pub const FIRST: &str = "c00000";
pub const FIRST_SECRET: &str = "c00000-kubeconfig";

/// The second namespace and its targets, which outnumber the failures in a row that pause their kind.
pub const TEAM: &str = "team";
const TEAM_TARGETS: u32 = 24;

/// Time between two changes of the victims: longer than the pause between two writes of one object.
const CHURN_INTERVAL: Duration = Duration::from_millis(1_200);

pub struct FaultyFleet {
    pub fleet: Fleet,
    pub hub: FaultyHub,
    pub team: Arc<Simulator>,
}

impl FaultyFleet {
    /// Starts the fleet; returns once all replicas are members and all statuses are right.
    pub async fn start() -> Self {
        let mut fleet = prepare(TARGETS).await;
        let hub = FaultyHub::start(&fleet.hub).await.unwrap();
        let team = Arc::new(Simulator::start(TEAM_TARGETS).await.unwrap());
        add_team(&fleet.client, &team).await;
        for ordinal in 0..REPLICAS {
            let flags = vec![format!("--watch-namespaces={NAMESPACE},{TEAM}")];
            fleet.replicas.tune(ordinal, Tuning { hub_url: Some(hub.url()), flags, ..Tuning::default() });
        }
        fleet.scale_up(REPLICAS).await.unwrap();
        fleet.until_phases(0, TIMEOUT).await.unwrap_or_else(|error| panic!("{error}\n{}", logs(&fleet, REPLICAS)));
        eventually("all replicas to join", async || {
            (map(&fleet).await?.map.members.len() == REPLICAS as usize).then_some(())
        })
        .await;
        let this = Self { fleet, hub, team };
        this.all_running().await;
        this
    }

    /// Waits until every target is Running.
    pub async fn all_running(&self) {
        eventually("every status to be right", async || {
            let [own, team] = [self.in_phase(NAMESPACE, "Running").await, self.in_phase(TEAM, "Running").await];
            (own.len() + team.len() == (TARGETS + TEAM_TARGETS) as usize).then_some(())
        })
        .await;
    }

    /// Number of targets in this phase that no fault touches.
    pub async fn untouched(&self, phase: &str) -> usize {
        self.in_phase(NAMESPACE, phase).await.iter().filter(|name| *name != FIRST).count()
    }

    /// The names of the targets in this phase.
    async fn in_phase(&self, namespace: &str, phase: &str) -> Vec<String> {
        let all = targets(&self.fleet.client, namespace).list(&ListParams::default().match_any()).await.unwrap();
        all.iter().filter(|target| target.data["status"]["phase"] == phase).map(ResourceExt::name_any).collect()
    }

    /// Breaks and mends the faults' victims until the result is dropped: the first target, and those of the second
    /// namespace, one of which loses its label each time.
    pub fn churn(&self) -> JoinSet<()> {
        let (team, fleet) = (self.team.clone(), self.fleet.clusters.simulator().unwrap().clone());
        let flux = fleet.components().find(|part| part.tool == "flux" && part.kind == Kind::Deployment).unwrap().id;
        let labelled = targets(&self.fleet.client, TEAM);
        let mut churning = JoinSet::new();
        churning.spawn(async move {
            for broken in [true, false].into_iter().cycle() {
                team.break_first(if broken { TEAM_TARGETS } else { 0 });
                fleet.set(0, flux, if broken { Health::Broken } else { Health::Healthy });
                let patch = Patch::Merge(json!({ "metadata": { "labels": null } }));
                labelled.patch("t00", &PatchParams::default(), &patch).await.unwrap();
                sleep(CHURN_INTERVAL).await;
            }
        });
        churning
    }

    /// Mends the clusters that [`FaultyFleet::churn`] may have left broken.
    pub fn mend_churned(&self) {
        self.team.break_first(0);
        self.fleet.clusters.simulator().unwrap().mend(0);
    }

    /// Asserts that statuses of untouched clusters stay true while the hub has this fault, and nothing else changes.
    pub async fn assert_endures(
        &mut self,
        fault: &str,
        rule: Option<Rule>,
        truth: &TruthChecker,
        (lasts, bound): (Duration, Duration),
    ) -> Findings {
        let (memory, term, matched) = (self.memory(), self.term().await, self.hub.matched());
        let is_disturbed = rule.is_some();
        self.hub.set(rule);
        let findings = truth.during(lasts).await;
        let (took, matched) = (self.memory(), self.hub.matched() - matched);
        self.hub.clear();
        println!(
            "a5: {fault}: wrong at most {:.1} s, falsely Running {:.1} s, p50 {:.2} s of {}; {matched} requests failed; \
             memory {memory:?} -> {took:?} MiB",
            findings.wrong.lasted.as_secs_f64(),
            findings.falsely_running.lasted.as_secs_f64(),
            findings.quantile(0.5),
            findings.took.len(),
        );
        self.fleet.replicas.check().unwrap();
        let logs = || logs(&self.fleet, REPLICAS);
        assert!(matched > 0 || !is_disturbed, "{fault}: the rule matched no request");
        assert!(findings.wrong.lasted <= bound, "{fault}: {findings:?}, wrong now: {:?}\n{}", truth.wrong(), logs());
        assert!(findings.falsely_running.lasted <= bound.max(INTERVAL * 3), "{fault}: {findings:?}\n{}", logs());
        assert!(findings.took.len() >= 10, "{fault}: too few changes seen: {findings:?}");
        // Skips a replica that was just started: it has hardly any memory yet.
        for (ordinal, before) in memory.into_iter().filter(|(_, before)| *before > MEMORY) {
            assert!(took[&ordinal] <= before + MEMORY, "{fault}: ksit-{ordinal}: {before} -> {} MiB", took[&ordinal]);
        }
        assert_eq!(self.term().await, term, "{fault}: the coordinator stays\n{}", logs());
        truth.until_right(TIMEOUT).await.unwrap();
        findings
    }

    async fn term(&self) -> i64 {
        map(&self.fleet).await.unwrap().map.term.0
    }

    /// Resident memory of each replica in MiB.
    fn memory(&self) -> BTreeMap<u32, u64> {
        let resident =
            |ordinal| Usage::of(self.fleet.replicas.replica(ordinal)?.pid()).ok().map(|usage| usage.rss / 1024);
        (0..REPLICAS).filter_map(|ordinal| Some((ordinal, resident(ordinal)?))).collect()
    }
}

pub fn targets(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let group = GroupVersionKind::gvk("ksit.io", "v1alpha1", "IntegrationTarget");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&group))
}

async fn add_team(client: &Client, team: &Simulator) {
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &typed(json!({ "metadata": { "name": TEAM } })))
        .await
        .unwrap();
    let binding = json!({ "metadata": { "name": "ksit" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "ksit", "namespace": NAMESPACE }] });
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), TEAM);
    bindings.create(&PostParams::default(), &typed(binding)).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), TEAM);
    for number in 0..TEAM_TARGETS {
        let (name, kubeconfig) = (format!("t{number:02}"), team.kubeconfig(number));
        let secret = json!({ "metadata": { "name": format!("{name}-kubeconfig") },
            "stringData": { "kubeconfig": kubeconfig } });
        secrets.create(&PostParams::default(), &typed(secret)).await.unwrap();
        let target = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": { "name": name }, "spec": { "clusterName": name } });
        targets(client, TEAM).create(&PostParams::default(), &typed(target)).await.unwrap();
    }
    let group = GroupVersionKind::gvk("ksit.io", "v1alpha1", "Integration");
    let integrations: Api<DynamicObject> = Api::namespaced_with(client.clone(), TEAM, &ApiResource::from_gvk(&group));
    let integration = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "Integration",
        "metadata": { "name": "flux" }, "spec": { "type": "flux", "targetSelector": {} } });
    integrations.create(&PostParams::default(), &typed(integration)).await.unwrap();
}

fn typed<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}
