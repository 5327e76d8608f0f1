//! Several replicas share a fleet and survive each other.

use std::collections::BTreeSet;
use std::path::Path;

use ksit::api::{IntegrationTarget, ShardMap, convert};
use ksit::domain::shard_map::PublishedMap;
use kube::api::Api;
use kube::{Client, ResourceExt};
use loadtest::installation::Installation;
use serde_json::json;

use crate::kit::{World, eventually, hub, install_flux, target, with_validation};

struct Fleet {
    world: World,
    replicas: Installation,
}

const FLAGS: [&str; 5] = [
    "--interval=1s",
    "--round-timeout=2s",
    "--lease-duration=5s",
    "--lease-renew-interval=1s",
    "--log-level=debug,hyper=info,h2=info,rustls=info,kube=info,tower=info",
];

impl Fleet {
    /// A hundred targets, all of them the shared cluster, and Flux on it.
    async fn new(namespace: &str, count: u32) -> Self {
        install_flux(namespace).await;
        let world = World::new(namespace).await;
        let kubeconfig = target().await.kubeconfig();
        world.secret("shared", json!({ "kubeconfig": kubeconfig })).await;
        for number in 0..100 {
            let spec = json!({ "clusterName": format!("c{number}"), "labels": { "env": "prod" },
                "kubeconfigSecretRef": { "name": "shared" } });
            world.apply("IntegrationTarget", &format!("c{number}"), spec).await.unwrap();
        }
        let spec = json!({ "type": "flux", "config": { "namespace": namespace },
            "targetSelector": { "matchLabels": { "env": "prod" } } });
        world.integration("flux", spec).await;
        let ksit = Path::new(env!("CARGO_BIN_EXE_ksit"));
        let mut replicas = Installation::new(hub().await, ksit, namespace, &FLAGS).await.unwrap();
        replicas.want(count).await.unwrap();
        for ordinal in 0..count {
            replicas.start(ordinal).await.unwrap();
        }
        Self { world, replicas }
    }

    async fn map(&self) -> Option<PublishedMap> {
        let api: Api<ShardMap> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        api.get_opt("ksit").await.unwrap().map(|map| convert::shard_map(&map))
    }

    fn logs(&self) -> String {
        (0..4).map(|ordinal| format!("---- ksit-{ordinal}\n{}", self.replicas.log(ordinal))).collect()
    }

    /// The map, once exactly these replicas own the fleet and every target was reported by its owner.
    async fn settled(&self, ordinals: &[u32]) -> PublishedMap {
        let wanted: BTreeSet<String> = ordinals.iter().map(|ordinal| format!("ksit-{ordinal}")).collect();
        let found = tokio::time::timeout(
            std::time::Duration::from_secs(60),
            eventually("the map to settle", async || {
                let map = self.map().await?;
                let members: BTreeSet<String> = map.map.members.keys().map(ToString::to_string).collect();
                (members == wanted && wanted.contains(map.coordinator.name.as_str())).then_some(map)
            }),
        );
        found.await.unwrap_or_else(|_| panic!("{:?}\n{}", ordinals, self.logs()))
    }

    async fn statuses(&self) -> Vec<IntegrationTarget> {
        let api: Api<IntegrationTarget> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        api.list(&Default::default()).await.unwrap().items
    }

    async fn until_all(&self, phase: &str) {
        eventually(&format!("all targets to be {phase}"), async || {
            let all = self.statuses().await;
            let is =
                |target: &IntegrationTarget| target.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some(phase));
            all.iter().all(is).then_some(())
        })
        .await;
    }

    fn coordinator(map: &PublishedMap) -> u32 {
        map.coordinator.name.ordinal().unwrap()
    }

    async fn scale_flux(&self, client: &Client, replicas: u32) {
        let workloads = loadtest::workloads::Workloads::new(client.clone());
        workloads.scale("Deployment", &self.world.namespace, "source-controller", replicas).await.unwrap();
    }
}

#[tokio::test]
async fn replicas_share_the_fleet_and_survive_each_other() {
    let _validation = with_validation().await;
    let mut fleet = Fleet::new("replicas", 3).await;
    let first = fleet.settled(&[0, 1, 2]).await;
    assert_eq!(first.map.check(), Ok(()));
    fleet.until_all("Running").await;
    let reporters: BTreeSet<String> =
        fleet.statuses().await.iter().filter_map(|target| target.status.as_ref()?.reported_by.clone()).collect();
    assert_eq!(reporters.len(), 3, "everybody reports: {reporters:?}\n{}", fleet.logs());
    let cluster = target().await.client().await.unwrap();

    // A worker dies: its slots go to the others, in one write, and the others keep theirs.
    let coordinator = Fleet::coordinator(&first);
    let worker = (0..3).find(|ordinal| *ordinal != coordinator).unwrap();
    fleet.replicas.kill(worker);
    let rest: Vec<u32> = (0..3).filter(|ordinal| *ordinal != worker).collect();
    let second = fleet.settled(&rest).await;
    assert_eq!((second.map.term, second.map.epoch), (first.map.term, first.map.epoch.next()));
    for name in second.map.members.keys() {
        assert!(first.map.shards.of(name).difference(&second.map.shards.of(name)).is_empty(), "{name} lost slots");
    }
    fleet.scale_flux(&cluster, 0).await;
    fleet.until_all("Failed").await;

    // The coordinator dies too: the last one takes over with a higher term.
    fleet.replicas.kill(coordinator);
    let last = rest.into_iter().find(|ordinal| *ordinal != coordinator).unwrap();
    let third = fleet.settled(&[last]).await;
    assert!(third.map.term > second.map.term);
    fleet.scale_flux(&cluster, 1).await;
    fleet.until_all("Running").await;
    for target in fleet.statuses().await {
        let status = target.status.as_ref().unwrap();
        assert_eq!(status.coordinator_term, Some(third.map.term.0), "{}", target.name_any());
        assert_eq!(status.reported_by, Some(format!("ksit-{last}")));
    }

    // Both come back.
    for ordinal in [worker, coordinator] {
        fleet.replicas.start(ordinal).await.unwrap();
    }
    fleet.settled(&[0, 1, 2]).await;
    fleet.replicas.check().unwrap();
}
