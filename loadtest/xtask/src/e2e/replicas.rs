//! Kills and evicts the replicas' Pods.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, EvictParams};
use kube::runtime::wait::await_condition;
use testkit::resources::api;
use tokio::time::{Instant, timeout};

use super::{E2eError, LEASE, NAMESPACE, PATIENCE, RELEASE, REPLICAS, Stage, Watched, print_progress};

/// Allowed failover time beyond the Lease of a dead coordinator.
const AFTER_LEASE: Duration = Duration::from_secs(5);

/// HTTP status of an eviction that a PodDisruptionBudget blocks.
const TOO_MANY_REQUESTS: u16 = 429;

impl Stage {
    /// Deletes the Pod without a grace period; the kubelet still sends SIGTERM, and another Pod replaces it.
    pub(super) async fn delete_coordinator(&self, watched: &Watched) -> Result<(), E2eError> {
        let coordinator = self.leadership().await?.coordinator;
        let deleted = async {
            self.pods().delete(&coordinator, &DeleteParams::default().grace_period(0)).await?;
            Ok(())
        };
        self.coordinator_ends(watched, deleted).await
    }

    /// Kills the process, so it cannot release its Lease; the kubelet restarts it in the same Pod.
    pub(super) async fn kill_coordinator(&self, watched: &Watched) -> Result<(), E2eError> {
        let pod = format!("io.kubernetes.pod.name={}", self.leadership().await?.coordinator);
        let container = self.hub.on_node(&["crictl", "ps", "--quiet", "--label", &pod]).await?;
        let template = ["--output=go-template", "--template={{.info.pid}}"];
        let inspect = ["crictl", "inspect", template[0], template[1], container.trim()];
        let pid = self.hub.on_node(&inspect).await?;
        let killed = async { self.hub.on_node(&["kill", "-KILL", pid.trim()]).await.map(drop) };
        self.coordinator_ends(watched, killed).await
    }

    /// Ends the coordinator while the target breaks, the worst moment.
    async fn coordinator_ends(
        &self,
        watched: &Watched,
        end: impl Future<Output = Result<(), E2eError>>,
    ) -> Result<(), E2eError> {
        let before = self.leadership().await?;
        end.await?;
        let start = Instant::now();
        self.scale_dns(0).await?;
        watched.until_all("Failed", LEASE + AFTER_LEASE).await?;
        let took = start.elapsed().as_secs_f64();
        let first = self.leadership().await?;
        self.scale_dns(2).await?;
        watched.until_all("Running", PATIENCE).await?;
        self.until_ready().await?;
        watched.until_members(REPLICAS).await?;
        let after = self.leadership().await?;
        print_progress(&format!("{} was the coordinator, in term {}", before.coordinator, before.term));
        print_progress(&format!("the break was on all statuses {took:.1} s later, in term {}", first.term));
        print_progress(&format!("{} is the coordinator now, in term {}", after.coordinator, after.term));
        match after.term > before.term {
            true => Ok(()),
            false => Err("no replica began a new term".into()),
        }
    }

    /// Evicts one Pod at a time: the PodDisruptionBudget refuses the second until the first is back.
    pub(super) async fn evict(&self, watched: &Watched) -> Result<(), E2eError> {
        let (mark, pods) = (watched.mark()?, self.pods());
        let impatient: Api<Pod> = Api::namespaced(self.hub.impatient_client().await?, NAMESPACE);
        pods.evict(&format!("{RELEASE}-0"), &EvictParams::default()).await?;
        match impatient.evict(&format!("{RELEASE}-1"), &EvictParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == TOO_MANY_REQUESTS => {
                print_progress("the PodDisruptionBudget refuses a second eviction meanwhile");
            }
            Err(error) => return Err(error.into()),
            Ok(_) => return Err("two of three replicas were evicted at the same time".into()),
        }
        self.until_ready().await?;
        for ordinal in 1..REPLICAS {
            pods.evict(&format!("{RELEASE}-{ordinal}"), &EvictParams::default()).await?;
            self.until_ready().await?;
        }
        watched.nothing_moved(&mark).await
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn leadership(&self) -> Result<Leadership, E2eError> {
        let map = api(&self.client, NAMESPACE, "ShardMap").get(RELEASE).await?;
        let spec = &map.data["spec"];
        let name = spec["coordinator"]["name"].as_str().ok_or("the ShardMap names no coordinator")?;
        Ok(Leadership { coordinator: name.to_owned(), term: spec["term"].as_u64().unwrap_or_default() })
    }

    /// Also counts Pods: a terminating Pod is still ready for a moment, so the StatefulSet's status is not enough.
    async fn until_ready(&self) -> Result<(), E2eError> {
        let start = Instant::now();
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        loop {
            let ready = await_condition(sets.clone(), RELEASE, |set: Option<&StatefulSet>| {
                let status = set.and_then(|set| set.status.as_ref());
                status.is_some_and(|status| status.ready_replicas == Some(REPLICAS as i32))
            });
            timeout(PATIENCE, ready).await.map_err(|_| "the replicas don't become ready")??;
            let pods = self.pods().list(&Default::default()).await?;
            let stays = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
            if pods.iter().filter(stays).count() == REPLICAS as usize && pods.items.len() == REPLICAS as usize {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err("a terminating Pod is still there".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

struct Leadership {
    coordinator: String,
    term: u64,
}
