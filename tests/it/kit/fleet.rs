//! A fleet of a hundred targets, shared by several replicas.

use std::collections::BTreeSet;
use std::path::Path;

use ksit::api::{IntegrationTarget, ShardMap, convert};
use ksit::domain::shard_map::PublishedMap;
use kube::api::Api;
use loadtest::checker::check;
use serde_json::json;
use testkit::installation::Installation;

use super::{World, eventually, hub, install_flux, target};

pub struct Fleet {
    pub world: World,
    pub replicas: Installation,
}

const FLAGS: [&str; 6] = [
    "--interval=1s",
    "--round-timeout=2s",
    "--lease-duration=5s",
    "--lease-renew-interval=1s",
    "--target-metrics",
    "--log-level=debug,hyper=info,h2=info,rustls=info,kube=info,tower=info",
];

impl Fleet {
    /// A hundred targets that all point at the shared cluster, with Flux on it.
    pub async fn new(namespace: &str, count: u32) -> Self {
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

    pub async fn map(&self) -> Option<PublishedMap> {
        let api: Api<ShardMap> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        api.get_opt("ksit").await.unwrap().map(|map| convert::shard_map(&map))
    }

    pub fn logs(&self) -> String {
        (0..4).map(|ordinal| format!("---- ksit-{ordinal}\n{}", self.replicas.log(ordinal))).collect()
    }

    /// The map, once exactly these replicas own the fleet and one of them coordinates.
    pub async fn settled(&self, ordinals: &[u32]) -> PublishedMap {
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

    pub async fn statuses(&self) -> Vec<IntegrationTarget> {
        let api: Api<IntegrationTarget> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        api.list(&Default::default()).await.unwrap().items
    }

    pub async fn until_all(&self, phase: &str) {
        eventually(&format!("all targets to be {phase}"), async || {
            let all = self.statuses().await;
            let is =
                |target: &IntegrationTarget| target.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some(phase));
            all.iter().all(is).then_some(())
        })
        .await;
    }

    /// Asserts that the hub's audit log shows no violated invariant.
    pub async fn assert_no_violations(&self) {
        let checked = check(&hub().await.audit(), Some(&self.world.namespace)).unwrap();
        assert!(checked.violations.is_empty(), "{:#?}", checked.violations);
        assert!(checked.maps > 0 && checked.statuses > 0, "{checked:?}");
    }

    pub fn coordinator(map: &PublishedMap) -> u32 {
        map.coordinator.name.ordinal().unwrap()
    }

    pub async fn scale_flux(&self, replicas: u32) {
        let client = target().await.client().await.unwrap();
        let workloads = testkit::workloads::Workloads::new(client);
        workloads.scale("Deployment", &self.world.namespace, "source-controller", replicas).await.unwrap();
    }
}
