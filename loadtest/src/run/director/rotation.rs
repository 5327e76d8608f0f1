//! Replaces the tokens of all targets.

use std::time::Duration;

use futures::stream::{self, TryStreamExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::Director;
use crate::run::RunError;
use crate::run::fleet::{CONCURRENT_WRITES, renew_secret};
use crate::run::report::Measure;
use crate::run::script::Rotate;

impl Director {
    /// Issues a new token on the cluster, writes it to the Secret, then revokes the old one.
    pub(super) async fn rotate(&mut self, how: &Rotate) -> Result<(), RunError> {
        let (within, overlap): (Duration, Duration) = (how.within.into(), how.overlap.into());
        let (start, pause) = (Instant::now(), within / self.fleet.targets.max(1));
        let (client, clusters) = (&self.fleet.client, &self.fleet.clusters);
        let simulator = clusters.simulator()?;
        let present = (0..self.fleet.targets).filter(|number| !self.removed.contains(number));
        stream::iter(present.map(Ok::<u32, RunError>))
            .try_for_each_concurrent(CONCURRENT_WRITES, async |number| {
                sleep_until(start + pause * number).await;
                simulator.issue(number);
                renew_secret(client, clusters, number).await
            })
            .await?;
        let took = start.elapsed().as_secs_f64();
        sleep(overlap).await;
        (0..self.fleet.targets).for_each(|number| simulator.revoke(number));
        let name = format!("{}: all Secrets written", self.phase.name());
        self.record(Measure::new(&name, "s", vec![took], None));
        Ok(())
    }
}
