//! A replica's own Lease: taken, renewed, given back; and the Lease of a dead member, taken away.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use kube::api::ObjectMeta;
use kube::{Api, Client};
use prometheus::Histogram;
use tokio::time::{sleep, sleep_until};

use super::backoff::jittered;
use super::field_manager::post_params;
use super::first_checks::FirstChecks;
use super::lease_board::{INSTALLATION_LABEL, LeaseBoard};
use super::prompt_client::{PromptClient, PromptError};
use crate::domain::replica::{Incarnation, ReplicaName};

/// Pause after a renewal that failed: well below the renew interval, so that one lost packet costs no membership.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// Pause after somebody else wrote the Lease.
const AFTER_A_CONFLICT: Duration = Duration::from_millis(300);

/// A hub whose CA has changed is trusted only by a process that has read the new one. Shorter than it takes until
/// somebody misses what a replica does, longer than an API server restarts with the certificates of its past.
const UNTRUSTED_FOR: Duration = Duration::from_secs(60);

/// Everything that makes a member's Lease.
#[derive(Clone)]
pub struct MemberLeases {
    pub hub: PromptClient,
    pub namespace: String,
    pub installation: String,
    pub me: Incarnation,
    pub duration: Duration,
    pub renew: Duration,
    /// The StatefulSet, so that Leases go with it.
    pub owner: Option<OwnerReference>,
    /// What is written on the own Lease beside.
    pub first_checks: Arc<FirstChecks>,
    /// How long each renewal takes.
    pub renew_seconds: Histogram,
}

/// Somebody else has this replica's Lease: it must not go on.
#[derive(Debug, thiserror::Error)]
pub enum LeaseLost {
    #[error(
        "Lease {name} was taken by {holder}: another process has this replica's name, or this one was silent for so \
         long that it counts as dead"
    )]
    Taken { name: ReplicaName, holder: String },
    #[error(
        "Lease {name} can't be written: {message}; ksit's Role needs create, get, list, watch, update, patch of leases"
    )]
    Refused { name: ReplicaName, message: String },
    #[error(
        "the hub's certificate has not been trusted for {} s ({message}): its CA may have changed; starting again reads \
         the CA anew, from the Pod's ca.crt or from --kubeconfig",
        UNTRUSTED_FOR.as_secs()
    )]
    Untrusted { message: String },
}

/// By what right the own Lease is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// A new process takes it over, whoever held it.
    Joins,
    Holds,
    /// It holds a Lease that the hub has lost: that of a backup may name an earlier process, who is no thief.
    Restores,
}

impl MemberLeases {
    /// Takes the own Lease, whoever held it, and renews it until it is lost.
    pub async fn keep(&self, board: &LeaseBoard) -> LeaseLost {
        let clock = board.clock();
        let mut changes = board.changes();
        let pasts = board.history().changes();
        let (mut hold, mut untrusted, mut past) = (Hold::Joins, None, *pasts.borrow());
        loop {
            let started = clock.now();
            let present = *pasts.borrow();
            if present != past && hold == Hold::Holds {
                hold = Hold::Restores;
            }
            past = present;
            match self.renew(board, hold).await {
                Ok(None) => {
                    let took = clock.now() - started;
                    self.renew_seconds.observe(took.as_secs_f64());
                    if hold == Hold::Joins {
                        tracing::info!(lease = %self.me.name, "joined");
                    }
                    (hold, untrusted) = (Hold::Holds, None);
                    board.wrote(true);
                    let next = sleep_until(clock.at(started + self.renew));
                    tokio::select! {
                        () = next => {}
                        () = self.until_taken(board, &mut changes) => {}
                        () = self.first_checks.until_dirty(took) => {}
                    }
                }
                Ok(Some(lost)) => return lost,
                Err(PromptError::Conflict) => {
                    untrusted = None;
                    board.wrote(true);
                    sleep(jittered(AFTER_A_CONFLICT)).await;
                }
                Err(PromptError::Refused(message)) if hold == Hold::Joins => {
                    return LeaseLost::Refused { name: self.me.name.clone(), message };
                }
                Err(error) => {
                    board.wrote(false);
                    tracing::warn!(%error, lease = %self.me.name, "not renewed; trying again");
                    if let PromptError::Untrusted(message) = error {
                        let since = *untrusted.get_or_insert(started);
                        if clock.now() - since >= UNTRUSTED_FOR {
                            return LeaseLost::Untrusted { message };
                        }
                    }
                    sleep(AFTER_A_FAILURE).await;
                }
            }
        }
    }

    /// Gives the own Lease back, so that leaving is seen at once. Only after [`Self::keep`] has ended.
    pub async fn release(&self) -> Result<(), PromptError> {
        let Some(mut lease) = self.read(self.me.name.as_str()).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity != Some(self.me.to_string()) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.first_checks.give_back(&mut lease);
        self.replace(&lease).await.map(|_| ())
    }

    /// Takes the Lease of a silent member, if it still has `resource_version`. Then that member can't renew it.
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
        let asked = board.clock().now();
        match self.replace(&self.held(known)).await {
            Ok(taken) => board.written(taken, asked),
            Err(PromptError::Conflict) => {
                self.look(board, name.as_str()).await?;
                return Err(PromptError::Conflict);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn renew(&self, board: &LeaseBoard, hold: Hold) -> Result<Option<LeaseLost>, PromptError> {
        let joined = hold == Hold::Holds;
        let own = self.me.name.as_str();
        let lease = match board.lease(own) {
            Some(known) if joined => Some(known),
            // What was listed may be old; and a conflict before has to be looked at.
            _ => self.look(board, own).await?,
        };
        let asked = board.clock().now();
        let (written, marks) = match lease {
            None => (self.create().await?, 0),
            Some(lease) => {
                if let Some(thief) = self.thief(&lease).filter(|_| joined) {
                    // Read anew: the process ends by this.
                    let pasts = board.history().changes();
                    let now = self.look(board, own).await?;
                    if pasts.has_changed().unwrap_or_default() {
                        return Err(PromptError::Conflict);
                    }
                    if now.as_ref().and_then(|lease| self.thief(lease)).is_some() {
                        return Ok(Some(LeaseLost::Taken { name: self.me.name.clone(), holder: thief }));
                    }
                    return Err(PromptError::Conflict);
                }
                if hold == Hold::Joins {
                    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                    self.first_checks.inherit(&lease, holder.unwrap_or_default().is_empty());
                }
                let mut lease = self.held(lease);
                let marks = self.first_checks.put_on(&mut lease);
                match self.replace(&lease).await {
                    Err(PromptError::Conflict) => {
                        self.look(board, own).await?;
                        return Err(PromptError::Conflict);
                    }
                    answer => (answer?, marks),
                }
            }
        };
        board.written(written, asked);
        self.first_checks.wrote(marks);
        Ok(None)
    }

    async fn until_taken(&self, board: &LeaseBoard, changes: &mut tokio::sync::watch::Receiver<()>) {
        while changes.changed().await.is_ok() {
            if board.lease(self.me.name.as_str()).is_none_or(|lease| self.thief(&lease).is_some()) {
                return;
            }
        }
    }

    /// Who holds it instead of this process; an empty holder is nobody.
    fn thief(&self, lease: &Lease) -> Option<String> {
        let holder = lease.spec.as_ref()?.holder_identity.clone()?;
        (!holder.is_empty() && holder != self.me.to_string()).then_some(holder)
    }

    /// `lease` as this process holds it from now on.
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

    /// Reads a Lease, and shows it to the board.
    async fn look(&self, board: &LeaseBoard, name: &str) -> Result<Option<Lease>, PromptError> {
        let asked = board.clock().now();
        let found = self.read(name).await?;
        if let Some(lease) = found.clone() {
            board.read(lease, asked);
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

    /// Takes effect only if the Lease still has the resourceVersion that `lease` carries.
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
