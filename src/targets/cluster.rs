//! Owns the connection to a target, its HTTP version and its `Retry-After`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::connect::connect;
use super::connection::Connection;
use super::fault::{Fault, no_descriptor, throttled};
use super::http::{Channel, Protocol};
use super::limits::Limits;
use super::standing::Standing;
use crate::domain::reason::{Failure, Reason};

/// One target.
pub struct Cluster {
    connection: Connection,
    limits: Arc<Limits>,
    /// Rounds of one target never overlap.
    round: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channel: Option<Arc<Channel>>,
    protocol: Option<Protocol>,
    /// `Retry-After` of the last 429.
    retry_at: Option<Instant>,
}

impl Cluster {
    /// Does not dial yet.
    pub fn new(connection: Connection, limits: Arc<Limits>) -> Self {
        Self { connection, limits, round: Semaphore::new(1), state: Mutex::default() }
    }

    /// The validated kubeconfig, which never changes.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The HTTP version of the target, once connected.
    pub fn protocol(&self) -> Option<Protocol> {
        self.state().protocol
    }

    /// End of the target's `Retry-After` (429). Reads before it fail at once.
    pub fn retry_at(&self) -> Option<Instant> {
        self.state().retry_at.filter(|at| *at > Instant::now())
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state().channel.as_ref().is_some_and(|channel| channel.is_open())
    }

    /// Closes the connection. A running round still ends on it.
    pub fn close(&self) {
        self.state().channel = None;
    }

    /// The limits that all targets of the process share.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Waits until no other round of the target is running.
    pub(super) async fn begin_round(&self) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        // The semaphore is never closed, so this can't fail.
        let round = self.round.acquire().await.ok();
        match self.retry_at() {
            Some(_) => Err(throttled(&self.connection.host_display())),
            None => Ok(round),
        }
    }

    /// Records the end of a round for the next one.
    pub(super) fn conclude(&self, fault: Option<&Fault>) {
        let mut state = self.state();
        state.retry_at = fault.and_then(|fault| fault.retry_after).map(|wait| Instant::now() + wait);
        if fault.is_some_and(|fault| !keeps_connection(fault.failure.reason)) {
            state.channel = None;
        }
    }

    /// The connection, and whether it was already open. Otherwise waits for a permit to connect, which postpones
    /// `deadline`.
    pub(super) async fn channel(
        &self,
        standing: Standing,
        deadline: &mut Instant,
    ) -> Result<(Arc<Channel>, bool), Fault> {
        let open = self.state().channel.clone().filter(|channel| channel.is_open());
        match open {
            Some(channel) => Ok((channel, true)),
            None => Ok((Box::pin(self.open(standing, deadline)).await?, false)),
        }
    }

    async fn open(&self, standing: Standing, deadline: &mut Instant) -> Result<Arc<Channel>, Fault> {
        let permit = self.limits.connect(standing, deadline).await;
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = self.limits.settings().connect_timeout.min(left);
        let latest = Instant::now() + patience;
        let open = async {
            let socket_permit =
                self.limits.connection().ok_or_else(|| no_descriptor(&self.connection.host_display()))?;
            let stream = connect(&self.connection, self.limits.resolver(), standing, patience).await?;
            Channel::open(self.connection.clone(), stream, socket_permit, latest).await
        };
        let channel = Arc::new(permit.run(open).await?);
        let mut state = self.state();
        state.protocol = Some(channel.protocol());
        state.channel = Some(channel.clone());
        Ok(channel)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the connection is still good after such a failure. After a 5xx a new one may reach a healthier server.
fn keeps_connection(reason: Reason) -> bool {
    matches!(reason, Reason::Throttled | Reason::Unauthorized)
}
