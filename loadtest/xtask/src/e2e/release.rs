//! The steps of a release's life: install, upgrade, rollback, scaling, uninstall.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::PostParams;
use serde_json::{Value, json};
use testkit::division::Division;
use testkit::resources::{api, object};
use tokio::time::{Instant, sleep};

use super::inventory::inventory;
use super::record;
use super::target::{DNS, NAMESPACE_OF_DNS, SECRET};
use super::{E2eError, NAMESPACE, PATIENCE, RELEASE, REPLICAS, Stage, TARGETS, Watched, print_progress};

/// Positions in the records at the start of a step.
pub(super) struct Mark {
    targets: usize,
    integration: usize,
    maps: usize,
    map: Division,
}

impl Stage {
    pub(super) async fn install(&self) -> Result<Watched, E2eError> {
        self.helm.apply("install", &[&format!("replicas={REPLICAS}")]).await?;
        Ok(Watched {
            targets: record::phases(self.client.clone(), "IntegrationTarget"),
            integration: record::phases(self.client.clone(), "Integration"),
            maps: record::maps(self.client.clone()),
        })
    }

    /// Creates an Integration over targets that all point to the same cluster.
    pub(super) async fn make_fleet(&self, watched: &Watched) -> Result<(), E2eError> {
        for number in 1..=TARGETS {
            let spec = json!({ "clusterName": format!("target-{number:02}"), "labels": { "env": "e2e" },
                "kubeconfigSecretRef": { "name": SECRET } });
            self.create("IntegrationTarget", &format!("target-{number:02}"), spec).await?;
        }
        let spec = json!({ "type": "custom", "targetSelector": { "matchLabels": { "env": "e2e" } },
            "components": [{ "kind": "Deployment", "namespace": NAMESPACE_OF_DNS, "name": DNS }] });
        self.create("Integration", "dns", spec).await?;
        watched.until_all("Running", PATIENCE).await?;
        watched.until_members(REPLICAS).await
    }

    async fn create(&self, kind: &str, name: &str, spec: Value) -> Result<(), E2eError> {
        api(&self.client, NAMESPACE, kind).create(&PostParams::default(), &object(kind, name, spec)).await?;
        Ok(())
    }

    pub(super) async fn upgrade(&self, watched: &Watched) -> Result<(), E2eError> {
        let mark = watched.mark()?;
        self.helm.apply("upgrade", &["podAnnotations.release=second"]).await?;
        watched.nothing_moved(&mark).await
    }

    pub(super) async fn roll_back(&self, watched: &Watched) -> Result<(), E2eError> {
        let mark = watched.mark()?;
        self.helm.run(&["rollback", RELEASE, "1", "--wait", "--timeout=3m"]).await?;
        watched.nothing_moved(&mark).await
    }

    pub(super) async fn scale(&self, watched: &Watched, replicas: u32) -> Result<(), E2eError> {
        let mark = watched.mark()?;
        self.helm.apply("upgrade", &[&format!("replicas={replicas}")]).await?;
        watched.until_members(replicas).await?;
        let later = watched.maps.now().ok_or("there is no ShardMap")?;
        let (moved, between) = (mark.map.moved(&later).len(), mark.map.moved_between_survivors(&later));
        print_progress(&format!("{moved} of 1024 slots moved, {between} of them from a replica that stayed"));
        watched.all_ran_since(&mark)
    }

    /// Uninstalls; the CRDs and the users' objects must remain.
    pub(super) async fn uninstall(&self, before: &BTreeSet<String>) -> Result<(), E2eError> {
        self.helm.run(&["uninstall", RELEASE, "--wait", "--timeout=3m"]).await?;
        let crds =
            ["integrations", "integrationtargets", "integrationtypes", "maintenancewindows", "notifiers", "shardmaps"];
        let mut kept: BTreeSet<String> =
            crds.iter().map(|name| format!("CustomResourceDefinition /{name}.ksit.io")).collect();
        kept.extend((1..=TARGETS).map(|number| format!("IntegrationTarget {NAMESPACE}/target-{number:02}")));
        kept.insert(format!("Integration {NAMESPACE}/dns"));
        // The API server creates it for the CRDs.
        kept.insert("APIService /v1alpha1.ksit.io".to_owned());
        let start = Instant::now();
        loop {
            let left: BTreeSet<String> = inventory(&self.client).await?.difference(before).cloned().collect();
            if left == kept {
                print_progress("only the CRDs and their objects are left");
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let more: Vec<&String> = left.difference(&kept).collect();
                let less: Vec<&String> = kept.difference(&left).collect();
                return Err(format!("left behind: {more:?}; deleted although it should stay: {less:?}").into());
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

impl Watched {
    pub(super) fn mark(&self) -> Result<Mark, E2eError> {
        let map = self.maps.now().ok_or("there is no ShardMap")?;
        Ok(Mark { targets: self.targets.mark(), integration: self.integration.mark(), maps: self.maps.mark(), map })
    }

    /// Waits until the map has `replicas` members, each with slots.
    pub(super) async fn until_members(&self, replicas: u32) -> Result<(), E2eError> {
        let has_all = |map: &Division| {
            map.members.len() == replicas as usize && map.members.values().all(|(_, slots)| !slots.is_empty())
        };
        self.maps.until(&format!("{replicas} replicas have the slots"), PATIENCE, has_all).await.map(drop)
    }

    /// Fails if a slot changed its owner or any status changed.
    pub(super) async fn nothing_moved(&self, mark: &Mark) -> Result<(), E2eError> {
        self.until_members(REPLICAS).await?;
        let versions = self.maps.since(mark.maps);
        let moved = versions.iter().map(|map| mark.map.moved(map).len()).max().unwrap_or(0);
        print_progress(&format!("{} new versions of the map; slots moved: {moved}", versions.len()));
        if moved > 0 {
            return Err(format!("{moved} slots moved").into());
        }
        self.all_ran_since(mark)
    }

    /// Fails if any status changed in between.
    pub(super) fn all_ran_since(&self, mark: &Mark) -> Result<(), E2eError> {
        let changes = [self.targets.since(mark.targets), self.integration.since(mark.integration)].concat();
        match changes.is_empty() {
            true => Ok(()),
            false => Err(format!("all ran, yet the statuses changed: {changes:?}").into()),
        }
    }
}
