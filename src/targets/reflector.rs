//! Caches the queried objects of one target, and keeps them current.
//!
//! ```text
//! refresh ── LIST uncached queries ──> entries ── WATCH from there ──> changed() when something changes
//!    └────── LIST one watched query: does the target answer, and has its watch lost nothing?
//! ```
//!
//! If the target supports it, LIST and WATCH are one request: a watch that begins with the current objects.
//!
//! Queries that can't be watched are listed again with every refresh: if the target speaks HTTP/1.1, if its RBAC grants
//! no watch, or if a proxy buffers watches, closes them as soon as they are open, or loses events.

mod confirm;
mod work;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::cluster::Cluster;
use super::due::due;
use super::entries::Entries;
use super::entry::{Cached, Entry, Watch, WatchEnd, WatchedList, watch_again};
use super::fault::{Fault, watch_forbidden, why_polled};
use super::http::{Channel, Protocol};
use super::job::Job;
use super::limits::{Limits, Permit, RetainedPermit};
use super::objects::MAX_BYTES;
use super::standing::Standing;
use super::wake_flag::WakeFlag;
use super::watchable::Watchable;
use crate::domain::check_mode::CheckMode;
use crate::domain::managed::ManagedList;
use crate::domain::queries::{is_waiting, second_step};
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::{Answer, Query, Snapshot};

/// API servers end HTTP/2 connections now and then (`--goaway-chance`), and proxies HTTP/1.1 ones after each answer.
const MAX_RECONNECTS: usize = 16;

/// Rounds that a target may take in addition if it answers one request at a time. Each answer has the time of a round.
const HTTP1_ROUNDS: u32 = 3;

/// The cache of one target.
#[derive(Default)]
pub struct Reflector {
    entries: Entries,
    /// The connection that carries the watches.
    channel: Weak<Channel>,
    /// Set when a watch has data.
    wake: WakeFlag,
    rounds: u64,
    /// Increments whenever the snapshot changes.
    version: u64,
    /// Number of queries, and the version of the answers, that the entries were derived from.
    planned: (usize, u64),
    /// Memory permit for the cache.
    retained: RetainedPermit,
    watchable: Watchable,
    /// Managed objects that tools ask for, whether or not the cluster has them.
    managed: Vec<Arc<ManagedList>>,
    /// Every watchable query was watched at least once.
    was_watched: bool,
}

/// The event that woke [`Reflector::changed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// [`Reflector::snapshot`] changed.
    Objects,
    /// A watch ended: some objects are not watched until the next refresh.
    Ended,
}

impl Reflector {
    /// A reflector that never watches.
    pub fn polling() -> Self {
        Self { watchable: Watchable::never(), ..Self::default() }
    }

    /// Sends every query once, and watches nothing. Without queries, only checks that the target answers.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub async fn read(cluster: &Cluster, queries: &BTreeSet<Query>, standing: Standing) -> Result<Snapshot, Failure> {
        let mut once = Self::polling();
        once.refresh(cluster, queries, standing).await?;
        Ok(once.snapshot())
    }

    /// The cached answers. A query without an answer yet is absent.
    pub fn snapshot(&self) -> Snapshot {
        self.entries.iter().filter_map(|(query, entry)| Some((query.clone(), entry.answer()?))).collect()
    }

    /// Increments whenever the snapshot changes.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether every query has an answer.
    pub fn is_complete(&self) -> bool {
        self.entries.iter().all(|(_, entry)| !matches!(entry.cached, Cached::Nothing))
    }

    /// Whether every query has an answer, and a watch if it is a list.
    pub fn is_following(&self) -> bool {
        self.watchable.poll_reason().is_none()
            && self.entries.iter().all(|(query, entry)| match &entry.cached {
                Cached::Objects(watched) => matches!(watched.watch, Watch::Open(_)),
                // An API that the cluster does not have is no list.
                Cached::Answer(_) => !matches!(query, Query::List { .. }),
                Cached::Nothing => false,
            })
    }

    /// How the target is checked. `None` before it was watched for the first time. `host` is for the message.
    pub fn mode(&self, host: &str) -> Option<CheckMode> {
        if let Some(reason) = self.watchable.poll_reason() {
            return Some(CheckMode::Poll(Failure::new(reason, why_polled(reason, host))));
        }
        let forbidden = self.entries.iter().find_map(|(query, entry)| match (query, &entry.cached) {
            (Query::List { kind, namespace }, Cached::Objects(watched)) => {
                matches!(watched.watch, Watch::Forbidden { .. }).then_some((*kind, namespace))
            }
            _ => None,
        });
        match forbidden {
            Some((kind, namespace)) => Some(CheckMode::Poll(watch_forbidden(kind, namespace))),
            None => self.was_watched.then_some(CheckMode::Watch),
        }
    }

    /// Prepares for a new connection to the same target: the cache stays, and watches resume from it.
    pub fn reconnect(&mut self) {
        self.channel = Weak::new();
        self.watched_lists().for_each(WatchedList::close);
    }

    /// Fetches queries that are not cached or not watched, and drops those not in `queries`. Also lists one watched
    /// query, to check that the target answers and its watch has lost nothing. 403 and 404 are answers to a query; any
    /// other fault ends the round.
    ///
    /// Waits for a permit to connect if necessary, and then, unless everything is watched, for a permit to query;
    /// `round_timeout` excludes both waits.
    ///
    /// # Errors
    /// The first fault, with the host and the remedy.
    pub async fn refresh(
        &mut self,
        cluster: &Cluster,
        queries: &BTreeSet<Query>,
        standing: Standing,
    ) -> Result<(), Failure> {
        let _round = cluster.begin_round().await?;
        self.rounds += 1;
        self.watchable.refresh(Instant::now());
        self.set_queries(queries);
        let result = self.run(cluster, queries, standing).await;
        if result.is_ok() {
            self.round_succeeded();
        }
        cluster.conclude(result.as_ref().err());
        result.map_err(|fault| fault.failure)
    }

    /// Waits for a change; forever while nothing is watched. Cancel-safe.
    pub async fn changed(&mut self, limits: &Limits) -> Change {
        poll_fn(|context| self.poll_changed(context, limits)).await
    }

    fn poll_changed(&mut self, context: &mut Context<'_>, limits: &Limits) -> Poll<Change> {
        let mut changed = self.read_watches(context, limits);
        for entry in self.entries.iter_mut() {
            let is_isolated = entry.isolate_end(limits);
            self.version += u64::from(is_isolated);
            changed |= is_isolated;
        }
        let ends: Vec<WatchEnd> = self.entries.iter_mut().filter_map(Entry::take_end).collect();
        if !ends.is_empty() {
            if let Some(reason) = self.watchable.record_ends(&ends) {
                self.stop_watching(reason, limits);
            }
            return Poll::Ready(Change::Ended);
        }
        if changed { Poll::Ready(Change::Objects) } else { Poll::Pending }
    }

    /// Reads what the watches have received. Returns whether anything changed.
    fn read_watches(&mut self, context: &Context<'_>, limits: &Limits) -> bool {
        if !self.wake.was_woken(context) {
            return false;
        }
        let waker = self.wake.waker();
        let mut context = Context::from_waker(&waker);
        let changed = self.watched_lists().fold(false, |any, watched| watched.read(&mut context, limits) | any);
        self.version += u64::from(changed);
        if changed && !self.reserve_memory(limits) {
            self.stop_watching(Reason::AnswerTooLarge, limits);
        }
        changed
    }

    /// Adjusts the memory permit to the cache. Without room for it, clears the largest entry and returns false.
    fn reserve_memory(&mut self, limits: &Limits) -> bool {
        let bytes = self.entries.bytes();
        if bytes <= MAX_BYTES && self.retained.try_hold(limits, bytes) {
            return true;
        }
        self.entries.clear_largest();
        self.retained.try_hold(limits, self.entries.bytes());
        false
    }

    /// Approximate bytes retained for the target.
    pub fn retained(&self) -> usize {
        self.entries.bytes()
    }

    fn stop_watching(&mut self, reason: Reason, limits: &Limits) {
        self.watchable.stop(reason, watch_again(limits));
        self.watched_lists().for_each(WatchedList::close);
    }

    fn watched_lists(&mut self) -> impl Iterator<Item = &mut WatchedList> {
        self.entries.iter_mut().filter_map(|entry| match &mut entry.cached {
            Cached::Objects(watched) => Some(watched),
            _ => None,
        })
    }

    /// Keeps entries for exactly the queries that may be sent, given the answers so far.
    fn set_queries(&mut self, queries: &BTreeSet<Query>) {
        let planned = (queries.len(), self.version);
        if self.planned == planned
            && queries.iter().all(|query| self.entries.get(query).is_some() || is_waiting(query, queries))
        {
            return;
        }
        let managed = queries.iter().filter_map(|query| match query {
            Query::Managed(list) => Some(list.clone()),
            _ => None,
        });
        let managed: Vec<_> = managed.collect();
        if managed != self.managed {
            self.managed = managed;
            self.entries.clear_served();
        }
        let before = self.entries.len();
        let mut wanted = self.second_step(queries);
        wanted.extend(queries.iter().filter(|query| !is_waiting(query, queries)).cloned());
        self.entries.set_queries(&wanted);
        self.version += u64::from(before != self.entries.len());
        self.planned = (queries.len(), self.version);
    }

    fn second_step(&self, queries: &BTreeSet<Query>) -> BTreeSet<Query> {
        let answers = self.entries.iter().filter_map(|(query, entry)| Some((query, entry.extent()?)));
        let mut more = second_step(queries, answers);
        if let Some(Cached::Answer(Answer::Served(served))) =
            self.entries.get(&Query::Served).map(|entry| &entry.cached)
        {
            more.extend(served.lists.iter().cloned().map(Query::Managed));
        }
        more
    }

    async fn run(&mut self, cluster: &Cluster, queries: &BTreeSet<Query>, standing: Standing) -> Result<(), Fault> {
        let mut deadline = Instant::now() + cluster.limits().settings().round_timeout;
        for _ in 0..=MAX_RECONNECTS {
            let (channel, was_reused) = cluster.channel(standing, &mut deadline).await?;
            self.adopt(&channel);
            let permit = match standing.is_failing() || !self.is_following() {
                true => cluster.limits().round(standing, &mut deadline).await,
                false => Permit::default(),
            };
            let before = channel.answered();
            let latest = match channel.protocol() {
                Protocol::Http2 => deadline,
                Protocol::Http1 => deadline + cluster.limits().settings().round_timeout * HTTP1_ROUNDS,
            };
            match permit.run(self.fetch_due(&channel, queries, standing, cluster.limits(), latest)).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.failure.reason == Reason::ConnectionLost => {
                    cluster.close();
                    self.reconnect();
                    // Every request is a GET, so a retry is safe. A new connection without any response isn't retried.
                    if !was_reused && channel.answered() == before {
                        return Err(fault);
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        let message = format!("{} ends its connections again and again", cluster.connection().host_display());
        Err(Failure::new(Reason::ConnectionLost, message).into())
    }

    /// Closes the watches if the connection is a new one, as they are streams of one connection.
    fn adopt(&mut self, channel: &Arc<Channel>) {
        if !std::ptr::eq(self.channel.as_ptr(), Arc::as_ptr(channel)) {
            self.reconnect();
            self.channel = Arc::downgrade(channel);
        }
        self.watchable.set_protocol(channel.protocol());
    }

    /// Sends requests until none is due.
    async fn fetch_due(
        &mut self,
        channel: &Channel,
        queries: &BTreeSet<Query>,
        standing: Standing,
        limits: &Limits,
        mut deadline: Instant,
    ) -> Result<(), Fault> {
        let is_retry = self.entries.iter().any(|(_, entry)| entry.queried_in == self.rounds);
        if !is_retry {
            self.confirm(channel, standing, limits, &mut deadline).await?;
        }
        loop {
            self.set_queries(queries);
            let jobs = self.due();
            if jobs.is_empty() {
                return Ok(());
            }
            self.work(channel, jobs, limits, deadline).await?;
        }
    }

    fn due(&self) -> Vec<Job> {
        due(&self.entries, self.rounds, self.watchable.is_watched(), self.watchable.poll_reason().is_some())
    }
}
