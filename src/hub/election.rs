//! Runs the election: executes what the domain decides, and publishes this replica's claim while it leads.
//!
//! ```text
//! board ─> domain::election::decide ─┬─> the crate ─> the answer names us? ─> claim, valid as long as the Lease
//!                                    ├─> renew our own Lease by compare-and-swap ─> the same
//!                                    ├─> create the Lease if it is missing
//!                                    ├─> vacate by compare-and-swap
//!                                    └─> step down: drop the claim, wait for the writers, vacate
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::Api;
use kube_leader_election::{Error as CrateError, LeaseLock, LeaseLockParams, LeaseLockResult};
use prometheus::Histogram;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until, timeout};

use super::backoff::conflict_pause;
use super::field_manager::post_params;
use super::lease_board::LeaseBoard;
use super::prompt_client::{PromptClient, PromptError};
use crate::domain::claim::Claim;
use crate::domain::election::{Action, Identity, Leading, Observation, decide};
use crate::domain::member::SAFETY_MARGIN;
use crate::domain::replica::Term;

/// Pause after a failed request.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The crate reads the Lease, then writes it.
const CRATE_REQUESTS: u32 = 2;

/// Upper bound of the random delay before acquiring a Lease that another candidate vacated, so that candidate goes
/// first.
const MAX_COURTESY_DELAY: Duration = Duration::from_millis(500);

/// Time for the coordinator's writers to end after this replica lost the lead.
const WRITERS_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    #[error("the coordinator role did not end within {} s of losing the lead", WRITERS_TIMEOUT.as_secs())]
    WritersStillRunning,
}

/// A candidate of the election.
#[derive(Clone)]
pub struct Election {
    pub hub: PromptClient,
    pub board: Arc<LeaseBoard>,
    pub namespace: String,
    pub lease_name: String,
    pub identity: Identity,
    pub ttl: Duration,
    pub renew: Duration,
    /// Owner of the Lease, which is garbage-collected with it.
    pub owner: Option<OwnerReference>,
    /// Duration of renewals and acquisitions.
    pub renew_seconds: Histogram,
}

/// Connects the election with the coordinator role.
pub struct Leadership {
    /// The hold on the Lease while this replica leads. Its term is 0: none is claimed yet.
    pub claim: watch::Sender<Option<Claim>>,
    pub role_running: watch::Sender<bool>,
    /// Notified by the role to give up the lead.
    pub resign: Notify,
}

impl Default for Leadership {
    fn default() -> Self {
        Self { claim: watch::Sender::new(None), role_running: watch::Sender::new(false), resign: Notify::new() }
    }
}

impl Election {
    /// Runs until the role fails to end after losing the lead.
    pub async fn run(&self, leadership: &Leadership) -> ElectionError {
        let mut candidate = Candidate { election: self, leading: None, vacated: None };
        let mut changes = self.board.changes();
        loop {
            tokio::select! {
                step = candidate.step(leadership, &mut changes) => if let Err(error) = step { return error },
                () = leadership.resign.notified() => {
                    if let Err(error) = candidate.step_down(leadership).await {
                        return error;
                    }
                    // Let a better-placed replica lead.
                    sleep(self.ttl).await;
                }
            }
        }
    }

    /// Releases the Lease if this replica holds it. Call only after [`Self::run`] and the role have ended.
    pub async fn release(&self) -> Result<(), PromptError> {
        let ours = |lease: &Lease| {
            self.identity.acquired(lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()))
        };
        let read = self.hub.ask(async |client| self.api(client).get_opt(&self.lease_name).await).await?;
        match read.filter(ours) {
            Some(lease) => self.vacate(lease).await,
            None => Ok(()),
        }
    }

    async fn vacate(&self, lease: Lease) -> Result<(), PromptError> {
        let lease = vacated(lease);
        self.replace(&lease).await.map(|_| ())
    }

    /// Renews this replica's Lease by compare-and-swap. This takes one request, the crate takes two: with a slow hub,
    /// time to write remains between renewals. If an earlier renewal succeeded but its answer was lost, this one
    /// conflicts, and the Lease is read again.
    async fn renew(&self, mut lease: Lease) -> Result<Lease, PromptError> {
        let spec = lease.spec.get_or_insert_default();
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        spec.lease_duration_seconds = Some(i32::try_from(self.ttl.as_secs()).unwrap_or(i32::MAX));
        self.replace(&lease).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, PromptError> {
        let sent_at = self.board.clock().now();
        let replaced =
            self.hub.ask(async |client| self.api(client).replace(&self.lease_name, &post_params(), lease).await).await;
        self.board.record_write(&replaced);
        let replaced = replaced?;
        self.board.apply_write(replaced.clone(), sent_at);
        Ok(replaced)
    }

    /// Creates the Lease, vacated. The crate would create it without an owner reference, and adding one later needs
    /// more rights where owner references are guarded.
    async fn create(&self) -> Result<(), PromptError> {
        let metadata = ObjectMeta {
            name: Some(self.lease_name.clone()),
            owner_references: self.owner.clone().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        let lease = vacated(Lease { metadata, spec: None });
        let sent_at = self.board.clock().now();
        let created = self.hub.ask(async |client| self.api(client).create(&post_params(), &lease).await).await;
        self.board.record_write(&created);
        self.board.apply_write(created?, sent_at);
        Ok(())
    }

    /// Reads the Lease again after something that may have changed it.
    async fn reread(&self) {
        let sent_at = self.board.clock().now();
        let read = self.hub.ask(async |client| self.api(client).get_opt(&self.lease_name).await).await;
        if let Ok(Some(lease)) = read {
            self.board.apply_read(lease, sent_at);
        }
    }

    fn api(&self, client: kube::Client) -> Api<Lease> {
        Api::namespaced(client, &self.namespace)
    }
}

/// Returns the Lease without a holder.
fn vacated(mut lease: Lease) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    let long_ago = MicroTime(Timestamp::UNIX_EPOCH);
    spec.holder_identity = Some(String::new());
    spec.acquire_time.get_or_insert_with(|| long_ago.clone());
    spec.renew_time = Some(long_ago);
    spec.lease_duration_seconds = Some(1);
    spec.lease_transitions.get_or_insert(0);
    lease
}

struct Candidate<'a> {
    election: &'a Election,
    leading: Option<Leading>,
    /// resourceVersion of the Lease as this candidate vacated it.
    vacated: Option<String>,
}

impl Candidate<'_> {
    async fn step(&mut self, leadership: &Leadership, changes: &mut watch::Receiver<()>) -> Result<(), ElectionError> {
        let Election { board, identity, ttl, renew, lease_name, .. } = self.election;
        changes.mark_unchanged();
        if !board.is_listed() {
            let _ = changes.changed().await;
            return Ok(());
        }
        let lease = board.election_lease(lease_name);
        let observation = Observation {
            me: identity,
            lease: lease.as_ref(),
            writes_since: board.writes_since(),
            leading: self.leading,
            ttl: *ttl,
            renew: *renew,
        };
        match decide(&observation, board.clock().now()) {
            Action::Wait(until) => {
                tokio::select! { () = sleep_until(board.clock().at(until)) => {}, _ = changes.changed() => {} }
            }
            Action::StepDown => return self.step_down(leadership).await,
            Action::Vacate { resource_version } => self.vacate(&resource_version).await,
            Action::AskCrate if lease.is_none() => self.create(leadership).await,
            Action::AskCrate if lease.as_ref().is_some_and(|lease| identity.acquired(lease.holder.as_deref())) => {
                self.renew(leadership).await;
            }
            Action::AskCrate => {
                let free = lease.as_ref().is_some_and(|lease| lease.vacated);
                if free && lease.map(|lease| lease.resource_version) != self.vacated {
                    // Two candidates that acquire at the same time may both get a positive answer.
                    self.vacated = board.election_lease(lease_name).map(|lease| lease.resource_version);
                    sleep(MAX_COURTESY_DELAY.mul_f64(rand::random())).await;
                    return Ok(());
                }
                self.acquire(leadership).await;
            }
        }
        Ok(())
    }

    async fn vacate(&mut self, resource_version: &str) {
        let Election { board, lease_name, .. } = self.election;
        let known = board
            .lease(lease_name)
            .filter(|lease| lease.metadata.resource_version.as_deref() == Some(resource_version));
        let Some(lease) = known else { return };
        match self.election.vacate(lease).await {
            Ok(()) => self.vacated = board.election_lease(lease_name).map(|lease| lease.resource_version),
            Err(PromptError::Conflict) => {
                self.election.reread().await;
                sleep(conflict_pause()).await;
            }
            Err(error) => {
                tracing::warn!(%error, lease = lease_name, "failed to vacate the coordinator's Lease; retrying");
                sleep(RETRY_DELAY).await;
            }
        }
    }

    /// Creates the Lease and acquires it at once, ahead of the other candidates.
    async fn create(&mut self, leadership: &Leadership) {
        let Election { board, lease_name, .. } = self.election;
        match self.election.create().await {
            Ok(()) => {
                self.vacated = board.election_lease(lease_name).map(|lease| lease.resource_version);
                self.acquire(leadership).await;
            }
            Err(error) => {
                self.election.reread().await;
                if board.election_lease(lease_name).is_none() {
                    tracing::warn!(%error, lease = lease_name, "failed to create the coordinator's Lease; retrying");
                    sleep(RETRY_DELAY).await;
                } else {
                    sleep(conflict_pause()).await;
                }
            }
        }
    }

    async fn acquire(&mut self, leadership: &Leadership) {
        let Election { hub, board, identity, ttl, lease_name, namespace, .. } = self.election;
        let requested = board.clock().now();
        let params = || LeaseLockParams {
            holder_id: identity.as_str().to_owned(),
            lease_name: lease_name.clone(),
            lease_ttl: *ttl,
        };
        let lock = async |client| LeaseLock::new(client, namespace, params()).try_acquire_or_renew().await;
        let answer = hub.ask_in_turn(CRATE_REQUESTS, lock).await;
        board.record_write(&answer);
        match answer {
            Ok(LeaseLockResult::Acquired(lease) | LeaseLockResult::NotAcquired(lease)) => {
                let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
                board.apply_read(lease, requested);
                if identity.acquired(holder.as_deref()) {
                    self.acquired(leadership, requested);
                } else {
                    sleep(conflict_pause()).await;
                }
            }
            Err(error) => self.failed(error).await,
        }
    }

    async fn renew(&mut self, leadership: &Leadership) {
        let Election { board, lease_name, .. } = self.election;
        let Some(lease) = board.lease(lease_name) else { return };
        let requested = board.clock().now();
        match self.election.renew(lease).await {
            Ok(_) => self.acquired(leadership, requested),
            Err(error) => self.failed(error).await,
        }
    }

    /// Records that the Lease is ours. The claim counts from `requested`, when the request was sent.
    fn acquired(&mut self, leadership: &Leadership, requested: Duration) {
        let Election { board, ttl, renew_seconds, .. } = self.election;
        renew_seconds.observe((board.clock().now() - requested).as_secs_f64());
        let claim = match self.leading {
            Some(leading) => leading.claim.renewed(requested, *ttl, SAFETY_MARGIN),
            None => Claim::new(Term(0), requested, *ttl, SAFETY_MARGIN),
        };
        self.leading = Some(Leading { claim, asked: requested });
        leadership.claim.send_replace(Some(claim));
    }

    async fn failed(&mut self, error: PromptError) {
        let Election { board, renew, lease_name, .. } = self.election;
        let pause = match error {
            PromptError::Conflict => conflict_pause(),
            _ => {
                tracing::warn!(%error, lease = lease_name, "failed to update the coordinator's Lease; retrying");
                RETRY_DELAY
            }
        };
        if error.is_answer() {
            self.election.reread().await;
        }
        match &mut self.leading {
            // Don't sleep while leading: a change on the board may end the lead before the pause does.
            Some(leading) => leading.asked = (board.clock().now() + pause).saturating_sub(*renew),
            None => sleep(pause).await,
        }
    }

    /// Drops the claim, waits until the role has ended, and releases the Lease if it is still ours.
    async fn step_down(&mut self, leadership: &Leadership) -> Result<(), ElectionError> {
        let valid_until = self.leading.take().map(|leading| leading.claim.valid_until());
        leadership.claim.send_replace(None);
        let mut role_running = leadership.role_running.subscribe();
        if timeout(WRITERS_TIMEOUT, role_running.wait_for(|role_running| !role_running)).await.is_err() {
            return Err(ElectionError::WritersStillRunning);
        }
        // An expired Lease may belong to another candidate by now, and the hub may be unreachable: let it expire.
        if valid_until.is_some_and(|until| self.election.board.clock().now() < until)
            && let Err(error) = self.election.release().await
        {
            tracing::warn!(%error, "failed to release the coordinator's Lease; it will expire");
        }
        Ok(())
    }
}

impl From<CrateError> for PromptError {
    fn from(error: CrateError) -> Self {
        match error {
            CrateError::GetLease(error)
            | CrateError::CreateLease(error)
            | CrateError::AcquireLease(error)
            | CrateError::RenewLease(error)
            | CrateError::ReleaseLease(error)
            | CrateError::Kube(error) => error.into(),
            CrateError::ApiError { response } => kube::Error::Api(response).into(),
            // A field of the Lease is missing or invalid: the Lease is read again, and vacated.
            error => Self::Refused(error.to_string()),
        }
    }
}
