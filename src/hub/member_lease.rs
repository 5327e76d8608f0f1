//! Acquires, renews and releases a replica's own Lease, and takes the Leases of dead members.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use kube::api::ObjectMeta;
use kube::{Api, Client};
use prometheus::Histogram;
use tokio::time::{sleep, sleep_until};

use super::backoff::conflict_pause;
use super::field_manager::post_params;
use super::first_checks::FirstChecks;
use super::lease_board::{INSTALLATION_LABEL, LeaseBoard};
use super::prompt_client::{PromptClient, PromptError};
use crate::domain::replica::{Incarnation, ReplicaName};

/// Pause after a failed renewal: well below the renew interval, so that one lost packet does not cost the membership.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Time after which the process ends because it does not trust the hub's certificate: only a restart reads a changed
/// CA. Long enough for an API server that restarts with its former certificates, short enough that nobody misses the
/// replica.
const MAX_UNTRUSTED: Duration = Duration::from_secs(60);

/// Manages this replica's Lease, and takes those of dead members.
#[derive(Clone)]
pub struct MemberLeases {
    pub hub: PromptClient,
    pub namespace: String,
    pub installation: String,
    pub me: Incarnation,
    pub duration: Duration,
    pub renew: Duration,
    /// The StatefulSet, so that Leases are garbage-collected with it.
    pub owner: Option<OwnerReference>,
    /// Marks that are written to our Lease as well.
    pub first_checks: Arc<FirstChecks>,
    /// Duration of renewals.
    pub renew_seconds: Histogram,
}

/// This replica can't keep its Lease: the process must end.
#[derive(Debug, thiserror::Error)]
pub enum LeaseLost {
    #[error(
        "Lease {name} was taken by {holder}: another process has this replica's name, or this one was silent for so \
         long that it was declared dead"
    )]
    Taken { name: ReplicaName, holder: String },
    #[error(
        "Lease {name} can't be written: {message}; ksit's Role needs create, get, list, watch, update, patch of leases"
    )]
    Refused { name: ReplicaName, message: String },
    #[error(
        "the hub's certificate has not been trusted for {} s ({message}): its CA may have changed; a restart reads the \
         CA again, from the Pod's ca.crt or from --kubeconfig",
        MAX_UNTRUSTED.as_secs()
    )]
    Untrusted { message: String },
}

/// State of the hold on our Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// A new process takes the Lease over, whoever held it.
    Joining,
    Held,
    /// The hub was rolled back: the restored Lease may name an earlier process, which has not taken it.
    Restoring,
}

enum Renewal {
    Renewed,
    Lost(LeaseLost),
}

impl MemberLeases {
    /// Takes our Lease, whoever held it, and renews it until it is lost.
    pub async fn keep(&self, board: &LeaseBoard) -> LeaseLost {
        let clock = board.clock();
        let mut changes = board.changes();
        let rollbacks = board.history().changes();
        let (mut hold, mut untrusted, mut handled) = (Hold::Joining, None, *rollbacks.borrow());
        loop {
            let started = clock.now();
            let present = *rollbacks.borrow();
            if present != handled && hold == Hold::Held {
                hold = Hold::Restoring;
            }
            handled = present;
            match self.renew(board, hold).await {
                Ok(Renewal::Renewed) => {
                    let took = clock.now() - started;
                    self.renew_seconds.observe(took.as_secs_f64());
                    if hold == Hold::Joining {
                        tracing::info!(lease = %self.me.name, "joined");
                    }
                    (hold, untrusted) = (Hold::Held, None);
                    board.record_write_answered();
                    let next = sleep_until(clock.at(started + self.renew));
                    tokio::select! {
                        () = next => {}
                        () = self.until_taken(board, &mut changes) => {}
                        () = self.first_checks.until_dirty(took) => {}
                    }
                }
                Ok(Renewal::Lost(lost)) => return lost,
                Err(PromptError::Conflict) => {
                    untrusted = None;
                    board.record_write_answered();
                    sleep(conflict_pause()).await;
                }
                Err(PromptError::Refused(message)) if hold == Hold::Joining => {
                    return LeaseLost::Refused { name: self.me.name.clone(), message };
                }
                Err(error) => {
                    board.record_write_failed();
                    tracing::warn!(%error, lease = %self.me.name, "failed to renew the replica's Lease; retrying");
                    if let PromptError::Untrusted(message) = error {
                        let since = *untrusted.get_or_insert(started);
                        if clock.now() - since >= MAX_UNTRUSTED {
                            return LeaseLost::Untrusted { message };
                        }
                    }
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// Releases our Lease, so that the others notice at once. Call only after [`Self::keep`] has ended.
    pub async fn release(&self) -> Result<(), PromptError> {
        let Some(mut lease) = self.read(self.me.name.as_str()).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity != Some(self.me.to_string()) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.first_checks.release(&mut lease);
        self.replace(&lease).await.map(|_| ())
    }

    /// Takes the Lease of a silent member if it still has `resource_version`, so that the member can't renew it.
    pub async fn take(
        &self,
        board: &LeaseBoard,
        name: &ReplicaName,
        resource_version: &str,
    ) -> Result<(), PromptError> {
        let known = board.lease(name.as_str()).ok_or(PromptError::Conflict)?;
        if known.metadata.resource_version.as_deref() != Some(resource_version) {
            return Err(PromptError::Conflict);
        }
        let sent_at = board.clock().now();
        match self.replace(&self.held(known)).await {
            Ok(taken) => board.apply_write(taken, sent_at),
            Err(PromptError::Conflict) => {
                self.reread(board, name.as_str()).await?;
                return Err(PromptError::Conflict);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn renew(&self, board: &LeaseBoard, hold: Hold) -> Result<Renewal, PromptError> {
        let is_held = hold == Hold::Held;
        let own = self.me.name.as_str();
        let lease = match board.lease(own) {
            Some(known) if is_held => Some(known),
            // The cached Lease may be stale before joining or after a conflict; read it.
            _ => self.reread(board, own).await?,
        };
        let sent_at = board.clock().now();
        let (written, marks) = match lease {
            None => (self.create().await?, 0),
            Some(lease) => {
                if let Some(holder) = self.other_holder(&lease).filter(|_| is_held) {
                    // Confirm with a read, since the process ends because of this.
                    let rollbacks = board.history().changes();
                    let now = self.reread(board, own).await?;
                    if rollbacks.has_changed().unwrap_or_default() {
                        return Err(PromptError::Conflict);
                    }
                    if now.as_ref().and_then(|lease| self.other_holder(lease)).is_some() {
                        return Ok(Renewal::Lost(LeaseLost::Taken { name: self.me.name.clone(), holder }));
                    }
                    return Err(PromptError::Conflict);
                }
                if hold == Hold::Joining {
                    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                    self.first_checks.inherit(&lease, holder.unwrap_or_default().is_empty());
                }
                let mut lease = self.held(lease);
                let marks = self.first_checks.put_on(&mut lease);
                match self.replace(&lease).await {
                    Err(PromptError::Conflict) => {
                        self.reread(board, own).await?;
                        return Err(PromptError::Conflict);
                    }
                    answer => (answer?, marks),
                }
            }
        };
        board.apply_write(written, sent_at);
        self.first_checks.record_written(marks);
        Ok(Renewal::Renewed)
    }

    async fn until_taken(&self, board: &LeaseBoard, changes: &mut tokio::sync::watch::Receiver<()>) {
        while changes.changed().await.is_ok() {
            if board.lease(self.me.name.as_str()).is_none_or(|lease| self.other_holder(&lease).is_some()) {
                return;
            }
        }
    }

    /// Returns the holder if it is another process.
    fn other_holder(&self, lease: &Lease) -> Option<String> {
        let holder = lease.spec.as_ref()?.holder_identity.clone()?;
        (!holder.is_empty() && holder != self.me.to_string()).then_some(holder)
    }

    /// Returns `lease` with this process as its holder, renewed now.
    fn held(&self, mut lease: Lease) -> Lease {
        let holder = self.me.to_string();
        let now = MicroTime(Timestamp::now());
        let former = lease.spec.take().unwrap_or_default();
        let changes_hands = former.holder_identity.as_ref() != Some(&holder);
        let transitions = former.lease_transitions.unwrap_or_default().saturating_add(i32::from(changes_hands));
        lease.spec = Some(LeaseSpec {
            acquire_time: former.acquire_time.clone().filter(|_| !changes_hands).or_else(|| Some(now.clone())),
            holder_identity: Some(holder),
            lease_duration_seconds: Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX)),
            lease_transitions: Some(transitions),
            renew_time: Some(now),
            ..former
        });
        lease
    }

    /// Reads a Lease and updates the board.
    async fn reread(&self, board: &LeaseBoard, name: &str) -> Result<Option<Lease>, PromptError> {
        let sent_at = board.clock().now();
        let found = self.read(name).await?;
        if let Some(lease) = found.clone() {
            board.apply_read(lease, sent_at);
        }
        Ok(found)
    }

    async fn read(&self, name: &str) -> Result<Option<Lease>, PromptError> {
        self.hub.ask(async |client| self.api(client).get_opt(name).await).await
    }

    async fn create(&self) -> Result<Lease, PromptError> {
        let labels = [(INSTALLATION_LABEL.to_owned(), self.installation.clone())].into();
        let metadata = ObjectMeta {
            name: Some(self.me.name.to_string()),
            labels: Some(labels),
            owner_references: self.owner.clone().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        let lease = self.held(Lease { metadata, spec: None });
        self.hub.ask(async |client| self.api(client).create(&post_params(), &lease).await).await
    }

    /// Replaces the Lease if it still has the resourceVersion of `lease`.
    async fn replace(&self, lease: &Lease) -> Result<Lease, PromptError> {
        let name = lease.metadata.name.as_deref().unwrap_or_default();
        self.hub.ask(async |client| self.api(client).replace(name, &post_params(), lease).await).await
    }

    fn api(&self, client: Client) -> Api<Lease> {
        Api::namespaced(client, &self.namespace)
    }
}

#[cfg(test)]
#[path = "member_lease_tests.rs"]
mod tests;
