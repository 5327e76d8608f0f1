//! The part of the demo in which replicas are killed, leave and come back.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use testkit::resources::api;
use tokio::time::{Instant, sleep};

use super::{DemoError, NAMESPACE, Stage, print_step};

/// Much longer than a Lease, for loaded machines.
const PATIENCE: Duration = Duration::from_secs(60);

impl Stage {
    pub(super) async fn replicas_die(&mut self, hub: &Client) -> Result<(), DemoError> {
        let coordinator = self.until_members(hub, "three replicas share the fleet", &[0, 1, 2]).await?;
        let rest: Vec<u32> = (0..3).filter(|ordinal| *ordinal != coordinator).collect();

        print_step(&format!("kill -9 of the coordinator, ksit-{coordinator}"));
        self.replicas.kill(coordinator);
        let next = self.until_members(hub, "another one leads, and has the fleet with the third", &rest).await?;
        self.until(hub, "nobody was lost", &[]).await?;

        print_step(&format!("ksit-{coordinator} comes back; kill -9 of a worker"));
        self.replicas.start(coordinator).await?;
        self.until_members(hub, "three again", &[0, 1, 2]).await?;
        let worker = rest.into_iter().find(|ordinal| *ordinal != next).unwrap_or(coordinator);
        self.replicas.kill(worker);
        let left: Vec<u32> = (0..3).filter(|ordinal| *ordinal != worker).collect();
        self.until_members(hub, "the others have its share", &left).await?;
        self.replicas.start(worker).await?;
        self.until_members(hub, "three again", &[0, 1, 2]).await?;

        print_step("scaled down to two replicas, and up to three");
        self.replicas.want(2).await?;
        if let Some(leaving) = self.replicas.take(2) {
            leaving.stop(PATIENCE).await?;
        }
        self.until_members(hub, "it handed over at once", &[0, 1]).await?;
        self.replicas.want(3).await?;
        self.replicas.start(2).await?;
        self.until_members(hub, "three again", &[0, 1, 2]).await?;
        self.until(hub, "all that time nothing was missed", &[]).await
    }

    /// Waits until these replicas own the fleet and one of them leads, shows `ksit shards`, and returns the leader.
    async fn until_members(&mut self, hub: &Client, what: &str, ordinals: &[u32]) -> Result<u32, DemoError> {
        let start = Instant::now();
        let wanted: BTreeSet<String> = ordinals.iter().map(|ordinal| format!("ksit-{ordinal}")).collect();
        loop {
            self.replicas.check()?;
            if let Some(coordinator) = settled(hub, &wanted).await? {
                println!("    {what} ({:.1} s)\n", start.elapsed().as_secs_f64());
                self.show_shards()?;
                return Ok(coordinator);
            }
            if start.elapsed() > PATIENCE {
                self.show_shards()?;
                return Err(format!("after {} s it is still not so: {what}", PATIENCE.as_secs()).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn show_shards(&self) -> Result<(), DemoError> {
        println!("$ ksit shards -n {NAMESPACE}");
        let shown = Command::new(&self.ksit)
            .args(["shards", "-n", NAMESPACE, "--kubeconfig"])
            .arg(self.hub.kubeconfig_path())
            .output()?;
        println!("{}", String::from_utf8_lossy(&shown.stdout));
        match shown.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&shown.stderr).into_owned().into()),
        }
    }
}

async fn settled(hub: &Client, wanted: &BTreeSet<String>) -> Result<Option<u32>, DemoError> {
    let Some(map) = api(hub, NAMESPACE, "ShardMap").get_opt("ksit").await? else { return Ok(None) };
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let members = map.data["spec"]["members"].as_array().into_iter().flatten().map(name).collect::<BTreeSet<_>>();
    let coordinator = name(&map.data["spec"]["coordinator"]);
    let ordinal = coordinator.strip_prefix("ksit-").and_then(|ordinal| ordinal.parse().ok());
    Ok(ordinal.filter(|_| members == *wanted && wanted.contains(&coordinator)))
}
