//! The coordinator role: runs while this replica leads, and ends with the lead.
//!
//! ```text
//! election ─> claim of the term ─> reign ─┬─ members: Leases ─> shard map
//!                                         ├─ fleet: reports ─> statuses ─> status queue ─> hub
//!                                         └─ report service, Events, repairs
//! ```
//!
//! An Integration is summed up from the statuses of its targets, not from reports: a coordinator that has just begun
//! knows from the hub all that its predecessor knew.

mod cached_status;
mod callers;
mod confirm;
mod deferred;
mod exchange;
mod fleet;
mod freshness;
mod leader_term;
mod members;
mod messages;
mod metadata_repair;
mod other_installations;
mod publish;
mod series;
mod summaries;
#[cfg(test)]
mod test_kit;
mod tick;
mod wanted;
mod worker_sessions;
mod write_fence;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::api::Integration;
use crate::domain::replica::Term;
use crate::domain::shard_map::ShardMap;
use crate::hub::{Change, Clock, StatusQueue};
use crate::observability::{Metrics, Scrape, TargetMetrics};
use crate::reports::{Incoming, IsMember};

pub use leader_term::{CoordinatorConfig, CoordinatorContext, LeadError, lead};
pub use metadata_repair::{RepairQueue, RepairTask, run_repairs};

use cached_status::TargetObject;
use exchange::Exchange;
use fleet::Fleet;
use other_installations::OtherInstallations;

/// How often staleness and the fleet's metrics are looked at.
const TICK: Duration = Duration::from_secs(2);

/// What the fleet's keeper works with.
struct FleetContext {
    statuses: Arc<StatusQueue>,
    repairs: Arc<RepairQueue>,
    exchange: Arc<Exchange>,
    other_installations: Arc<OtherInstallations>,
    metrics: Metrics,
    target_metrics: TargetMetrics,
    clock: Clock,
    began: Instant,
    term: Term,
    /// This installation, as `managedBy` names it.
    installation: String,
    /// Whether a process is one of a replica: of others nothing is kept.
    is_member: IsMember,
    /// Time between rounds of targets whose Integrations give no interval; also between heartbeats.
    round: Duration,
}

/// What comes in from outside.
struct Sources {
    targets: BoxStream<'static, Change<TargetObject>>,
    integrations: BoxStream<'static, Change<Integration>>,
    messages: mpsc::Receiver<Incoming>,
    maps: mpsc::Receiver<ShardMap>,
    scrapes: mpsc::Receiver<Scrape>,
}

/// Keeps statuses as reports and specs say, until a watch ends.
async fn keep_fleet(mut fleet: Fleet, mut sources: Sources) -> Option<Infallible> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut other_installations = fleet.context.other_installations.changes();
    loop {
        let due = fleet.next_due();
        tokio::select! {
            change = sources.targets.next() => fleet.on_target(change?),
            change = sources.integrations.next() => fleet.on_integration(change?),
            Some(map) = sources.maps.recv() => fleet.on_map(&map),
            Some(scrape) = sources.scrapes.recv() => drop(scrape.send(fleet.series())),
            Some(incoming) = sources.messages.recv() => fleet.on_message(incoming),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => fleet.summarize_due(),
            _ = other_installations.changed() => fleet.on_other_installations(),
            _ = ticks.tick() => fleet.on_tick(),
        }
    }
}
