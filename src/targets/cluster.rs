//! The one owner of everything that ksit has of a target: its connection, and what is known of its habits.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connect::connect;
use super::connection::Connection;
use super::http::{Channel, Fault, Protocol};
use super::limits::Limits;
use super::list;
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::{Query, Snapshot};

/// API servers end HTTP/2 connections now and then (`--goaway-chance`), and proxies HTTP/1.1 ones after each answer.
const MAX_RECONNECTS: usize = 16;

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
    /// The target asked to be left alone until then.
    retry_at: Option<Instant>,
}

impl Cluster {
    /// Dials nothing yet.
    pub fn new(connection: Connection, limits: Arc<Limits>) -> Self {
        Self { connection, limits, round: Semaphore::new(1), state: Mutex::default() }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What the target speaks, once it was reached.
    pub fn protocol(&self) -> Option<Protocol> {
        self.state().protocol
    }

    /// Until when the target asked to be left alone (429 with `Retry-After`). A read before that fails at once.
    pub fn retry_at(&self) -> Option<Instant> {
        self.state().retry_at.filter(|at| *at > Instant::now())
    }

    /// Closes the connection. A round that runs ends on it undisturbed.
    pub fn close(&self) {
        self.state().channel = None;
    }

    /// Asks all queries once; with none, only whether the target answers at all. 403 and 404 are answers to a query;
    /// everything else that goes wrong ends the round.
    ///
    /// `failing` says that the last rounds failed: such a target waits in the smaller queue for its turn to connect.
    /// From its turn on, the round ends within `round_timeout`.
    ///
    /// # Errors
    /// The first fault, with the host and what to do.
    pub async fn read(&self, queries: &BTreeSet<Query>, failing: bool) -> Result<Snapshot, Failure> {
        // Never closed, so always got.
        let _round = self.round.acquire().await.ok();
        if let Some(at) = self.retry_at() {
            return Err(self.still_throttled(at - Instant::now()));
        }
        let mut snapshot = Snapshot::new();
        let result = self.run(queries, failing, &mut snapshot).await;
        let mut state = self.state();
        match result {
            Ok(()) => {
                state.retry_at = None;
                Ok(snapshot)
            }
            Err(fault) => {
                state.retry_at = fault.retry_after.map(|wait| Instant::now() + wait);
                if !keeps_connection(fault.failure.reason) {
                    state.channel = None;
                }
                Err(fault.failure)
            }
        }
    }

    async fn run(&self, queries: &BTreeSet<Query>, failing: bool, snapshot: &mut Snapshot) -> Result<(), Fault> {
        let mut deadline = Instant::now() + self.limits.settings().round_timeout;
        for _ in 0..=MAX_RECONNECTS {
            let reused = self.open_channel();
            let was_reused = reused.is_some();
            let channel = match reused {
                Some(channel) => channel,
                None => self.open(failing, &mut deadline).await?,
            };
            let before = channel.answered();
            match self.ask_missing(&channel, queries, deadline, snapshot).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.failure.reason == Reason::ConnectionLost => {
                    self.state().channel = None;
                    // All that is asked is a GET. A new connection that brings nothing is not worth another one.
                    if !was_reused && channel.answered() == before {
                        return Err(fault);
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        let message = format!("{} ends its connections again and again", self.connection.host_display());
        Err(Failure::new(Reason::ConnectionLost, message).into())
    }

    /// Asks what has no answer yet.
    async fn ask_missing(
        &self,
        channel: &Channel,
        queries: &BTreeSet<Query>,
        deadline: Instant,
        snapshot: &mut Snapshot,
    ) -> Result<(), Fault> {
        let settings = self.limits.settings();
        if queries.is_empty() {
            return list::probe(channel, deadline).await;
        }
        // Owned: with borrowed ones the compiler can't see that the future is Send.
        let missing: Vec<Query> = queries.iter().filter(|query| !snapshot.contains_key(query)).cloned().collect();
        let mut answers = stream::iter(missing)
            .map(|query| async move {
                let answer = list::ask(channel, &query, settings.body_bytes, deadline).await;
                (query, answer)
            })
            .buffer_unordered(settings.requests.max(1));
        let mut lost = None;
        while let Some((query, answer)) = answers.next().await {
            match answer {
                Ok(answer) => {
                    snapshot.insert(query, answer);
                }
                // The target may still finish what it has begun.
                Err(fault) if fault.failure.reason == Reason::ConnectionLost => lost = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        lost.map_or(Ok(()), Err)
    }

    fn open_channel(&self) -> Option<Arc<Channel>> {
        self.state().channel.clone().filter(|channel| channel.is_open())
    }

    /// Connects, when it is this target's turn. Waiting for it takes nothing of the target's own time.
    async fn open(&self, failing: bool, deadline: &mut Instant) -> Result<Arc<Channel>, Fault> {
        let asked = Instant::now();
        let _turn = self.limits.turn(failing).await;
        *deadline += asked.elapsed();
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = self.limits.settings().connect_timeout.min(left);
        let latest = Instant::now() + patience;
        let stream = connect(&self.connection, patience).await?;
        let channel = Arc::new(Channel::open(self.connection.clone(), stream, latest).await?);
        let mut state = self.state();
        state.protocol = Some(channel.protocol());
        state.channel = Some(channel.clone());
        Ok(channel)
    }

    fn still_throttled(&self, left: Duration) -> Failure {
        Failure::new(
            Reason::Throttled,
            format!(
                "{} is throttling (429) and asks to wait {} s more",
                self.connection.host_display(),
                left.as_secs().saturating_add(1)
            ),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the connection itself is fine after such a failure. After a 5xx another one may reach a better server.
fn keeps_connection(reason: Reason) -> bool {
    matches!(reason, Reason::Throttled | Reason::Unauthorized)
}
