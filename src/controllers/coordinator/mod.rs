//! The coordinator role: from reports to statuses.
//!
//! ```text
//! reports ──────────> target's status ─┐
//! hub: targets ─────> (and stale ones) ├─> Integration's status ─> status queue ─> hub
//! hub: integrations ───────────────────┘   (at most once a second each)
//! ```
//!
//! An Integration is summed up from the statuses of its targets, not from reports: a coordinator that has just begun
//! knows from the hub all that its predecessor knew.

mod janitor;
mod publish;
mod state;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::api::{Integration, IntegrationTarget};
use crate::controllers::worker::Reports;
use crate::hub::{Change, StatusQueue};
use crate::observability::{Health, Metrics};

pub use janitor::{Chore, Chores, do_chores};
use state::State;

/// How often staleness and the fleet's metrics are looked at.
const TICK: Duration = Duration::from_secs(2);

pub const NEED_TARGETS: &str = "the coordinator's list of IntegrationTargets";
pub const NEED_INTEGRATIONS: &str = "the coordinator's list of Integrations";

pub struct CoordinatorContext {
    pub reports: Arc<Reports>,
    pub statuses: Arc<StatusQueue>,
    pub chores: Arc<Chores>,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    /// This installation, as `managedBy` names it.
    pub installation: String,
    /// For Integrations that give no interval.
    pub interval: Duration,
}

/// Keeps statuses as reports and specs say. Ends only if a watch does.
pub async fn run(
    context: CoordinatorContext,
    mut targets: BoxStream<'static, Change<IntegrationTarget>>,
    mut integrations: BoxStream<'static, Change<Integration>>,
) {
    context.health.need(NEED_TARGETS);
    context.health.need(NEED_INTEGRATIONS);
    let reports = context.reports.clone();
    let mut state = State::new(context);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = state.next_due();
        tokio::select! {
            change = targets.next() => match change {
                Some(change) => state.on_target(change),
                None => return,
            },
            change = integrations.next() => match change {
                Some(change) => state.on_integration(change),
                None => return,
            },
            // Until both are listed, a report could only be judged against half of what is there.
            (_, report) = reports.take(), if state.is_listed() => state.on_report(report),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => state.summarize_due(),
            _ = ticks.tick(), if state.is_listed() => state.on_tick(),
        }
    }
}
