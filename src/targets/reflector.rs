//! A picture of one target, as far as it is asked for, and kept up to date.
//!
//! ```text
//! refresh ── LIST what isn't known ──> entries ── WATCH from there ──> changed() when something changes
//!    └────── LIST one of what is watched: does the target answer, and has its watch lost nothing?
//! ```
//!
//! Where the target has it, LIST and WATCH are one request: a watch that begins with all that there is.
//!
//! What can't be watched is listed again with every refresh: where the target speaks HTTP/1.1, where its RBAC grants no
//! watch, and where something between holds watches back, cuts them as soon as they are open, or loses what they bring.

mod confirm;
mod work;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::cluster::Cluster;
use super::due::due;
use super::entry::{End, Entries, Entry, Followed, Known, Watch};
use super::fault::{Fault, watch_forbidden, why_polled};
use super::http::Channel;
use super::job::Job;
use super::limits::{Limits, Permit, RetainedPermit};
use super::objects::MAX_BYTES;
use super::wake_flag::WakeFlag;
use super::watchable::Watchable;
use crate::domain::check_mode::CheckMode;
use crate::domain::queries::second_step;
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::{Query, Snapshot};

/// API servers end HTTP/2 connections now and then (`--goaway-chance`), and proxies HTTP/1.1 ones after each answer.
const MAX_RECONNECTS: usize = 16;

/// What is known of one target.
#[derive(Default)]
pub struct Reflector {
    entries: Entries,
    /// The connection that the watches are streams of.
    channel: Weak<Channel>,
    /// Rings when a watch has something.
    wake: WakeFlag,
    rounds: u64,
    /// Grows whenever the snapshot is another one.
    version: u64,
    /// How many queries were wanted last, and the version whose answers raised the rest of the entries.
    wanted: (usize, u64),
    /// Room for what is kept of the target.
    retained: RetainedPermit,
    watchable: Watchable,
    /// All that can be watched was, once.
    was_watched: bool,
}

/// What woke [`Reflector::changed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// [`Reflector::snapshot`] is another one.
    Objects,
    /// A watch has ended: nothing more is heard of some objects until the next refresh.
    Ended,
}

impl Reflector {
    /// One that watches nothing.
    pub fn polling() -> Self {
        Self { watchable: Watchable::never(), ..Self::default() }
    }

    /// Asks all queries once, and follows nothing; with none, only whether the target answers at all.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub async fn read(cluster: &Cluster, queries: &BTreeSet<Query>, failing: bool) -> Result<Snapshot, Failure> {
        let mut once = Self::polling();
        once.refresh(cluster, queries, failing).await?;
        Ok(once.snapshot())
    }

    /// What is known; a query that has no answer yet is absent.
    pub fn snapshot(&self) -> Snapshot {
        self.entries.iter().filter_map(|(query, entry)| Some((query.clone(), entry.answer()?))).collect()
    }

    /// The same as long as the snapshot is.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether everything that was asked for has an answer.
    pub fn is_complete(&self) -> bool {
        self.entries.iter().all(|(_, entry)| !matches!(entry.known, Known::Nothing))
    }

    /// Whether everything is known that was asked for, and kept up to date.
    pub fn is_following(&self) -> bool {
        self.watchable.why_not().is_none()
            && self.entries.iter().all(|(query, entry)| match &entry.known {
                Known::Objects(followed) => matches!(followed.watch, Watch::Open(_)),
                Known::Answer(_) => !matches!(query, Query::List { .. }),
                Known::Nothing => false,
            })
    }

    /// How the target is looked at; `None` before it was watched for the first time. `host` is for the message.
    pub fn mode(&self, host: &str) -> Option<CheckMode> {
        if let Some(reason) = self.watchable.why_not() {
            return Some(CheckMode::Poll(Failure::new(reason, why_polled(reason, host))));
        }
        let forbidden = self.entries.iter().find_map(|(query, entry)| match (query, &entry.known) {
            (Query::List { kind, namespace }, Known::Objects(followed)) => {
                matches!(followed.watch, Watch::Forbidden { .. }).then_some((*kind, namespace))
            }
            _ => None,
        });
        match forbidden {
            Some((kind, namespace)) => Some(CheckMode::Poll(watch_forbidden(kind, namespace))),
            None => self.was_watched.then_some(CheckMode::Watch),
        }
    }

    /// Looks at another connection of the same target from now on: what is known stays, and watches go on from there.
    pub fn reconnect(&mut self) {
        self.channel = Weak::new();
        self.followed().for_each(Followed::close);
    }

    /// Asks what isn't known or isn't watched, and forgets what isn't asked for any more. One list of what is
    /// watched tells whether the target still answers and its watch has lost nothing. 403 and 404 are answers to a query; everything else
    /// that goes wrong ends the round.
    ///
    /// It waits for its turn to connect where it has to, and then, unless all is watched, for its turn to ask; what is
    /// left of `round_timeout` counts on from there. `failing` says that it failed last: the smaller queues are its.
    ///
    /// # Errors
    /// The first fault, with the host and what to do.
    pub async fn refresh(
        &mut self,
        cluster: &Cluster,
        queries: &BTreeSet<Query>,
        failing: bool,
    ) -> Result<(), Failure> {
        let _round = cluster.begin_round().await?;
        self.rounds += 1;
        self.watchable.refresh(Instant::now());
        self.want(queries);
        let result = self.run(cluster, failing).await;
        if result.is_ok() {
            self.confirmed();
        }
        cluster.conclude(result.as_ref().err());
        result.map_err(|fault| fault.failure)
    }

    /// Waits for a change; for ever while nothing is watched. May be dropped at any time.
    pub async fn changed(&mut self, limits: &Limits) -> Change {
        poll_fn(|context| self.poll_changed(context, limits)).await
    }

    fn poll_changed(&mut self, context: &mut Context<'_>, limits: &Limits) -> Poll<Change> {
        let changed = self.read_watches(context, limits);
        let ends: Vec<End> = self.entries.iter_mut().filter_map(Entry::take_end).collect();
        if !ends.is_empty() {
            if let Some(reason) = self.watchable.ended(&ends) {
                self.stop_watching(reason, limits);
            }
            return Poll::Ready(Change::Ended);
        }
        if changed { Poll::Ready(Change::Objects) } else { Poll::Pending }
    }

    /// Takes in what has come: whether that changes anything.
    fn read_watches(&mut self, context: &Context<'_>, limits: &Limits) -> bool {
        if !self.wake.was_woken(context) {
            return false;
        }
        let waker = self.wake.waker();
        let mut context = Context::from_waker(&waker);
        let changed = self.followed().fold(false, |any, followed| followed.read(&mut context, limits) | any);
        self.version += u64::from(changed);
        if changed && !self.is_kept(limits) {
            self.stop_watching(Reason::AnswerTooLarge, limits);
        }
        changed
    }

    /// Whether there is room for what is known; if not, the largest part of it is let go.
    fn is_kept(&mut self, limits: &Limits) -> bool {
        let bytes = self.entries.bytes();
        if bytes <= MAX_BYTES && self.retained.try_hold(limits, bytes) {
            return true;
        }
        self.entries.forget_largest();
        self.retained.try_hold(limits, self.entries.bytes());
        false
    }

    /// About as many bytes as are kept of the target.
    pub fn retained(&self) -> usize {
        self.entries.bytes()
    }

    fn stop_watching(&mut self, reason: Reason, limits: &Limits) {
        self.watchable.stop(reason, Instant::now() + limits.settings().watch_again);
        self.followed().for_each(Followed::close);
    }

    fn followed(&mut self) -> impl Iterator<Item = &mut Followed> {
        self.entries.iter_mut().filter_map(|entry| match &mut entry.known {
            Known::Objects(followed) => Some(followed),
            _ => None,
        })
    }

    fn want(&mut self, queries: &BTreeSet<Query>) {
        let known = (queries.len(), self.version);
        if self.wanted == known && queries.iter().all(|query| self.entries.get(query).is_some()) {
            return;
        }
        let before = self.entries.len();
        let more = self.raised();
        self.entries.want(queries, &more);
        self.version += u64::from(before != self.entries.len());
        self.wanted = (queries.len(), self.version);
    }

    /// Asks as well what only the answers raise.
    fn want_more(&mut self) {
        if self.wanted.1 != self.version {
            for query in self.raised() {
                self.entries.at(&query);
            }
            self.wanted.1 = self.version;
        }
    }

    fn raised(&self) -> BTreeSet<Query> {
        second_step(self.entries.iter().filter_map(|(query, entry)| Some((query, entry.extent()?))))
    }

    async fn run(&mut self, cluster: &Cluster, failing: bool) -> Result<(), Fault> {
        let mut deadline = Instant::now() + cluster.limits().settings().round_timeout;
        for _ in 0..=MAX_RECONNECTS {
            let (channel, was_reused) = cluster.channel(failing, &mut deadline).await?;
            self.adopt(&channel);
            let turn = match failing || !self.is_following() {
                true => cluster.limits().round(failing, &mut deadline).await,
                false => Permit::default(),
            };
            let before = channel.answered();
            match turn.run(self.ask_due(&channel, failing, cluster.limits(), deadline)).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.failure.reason == Reason::ConnectionLost => {
                    cluster.close();
                    self.reconnect();
                    // All that is asked is a GET. A new connection that brings nothing is not worth another one.
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

    /// Watches are streams of one connection.
    fn adopt(&mut self, channel: &Arc<Channel>) {
        if !std::ptr::eq(self.channel.as_ptr(), Arc::as_ptr(channel)) {
            self.reconnect();
            self.channel = Arc::downgrade(channel);
        }
        self.watchable.speak(channel.protocol());
    }

    /// Asks until nothing is due.
    async fn ask_due(
        &mut self,
        channel: &Channel,
        failing: bool,
        limits: &Limits,
        mut deadline: Instant,
    ) -> Result<(), Fault> {
        let begun = self.entries.iter().any(|(_, entry)| entry.asked_in == self.rounds);
        if !begun {
            self.confirm(channel, failing, limits, &mut deadline).await?;
        }
        loop {
            self.want_more();
            let jobs = self.due();
            if jobs.is_empty() {
                return Ok(());
            }
            self.work(channel, jobs, limits, deadline).await?;
        }
    }

    fn due(&self) -> Vec<Job> {
        due(&self.entries, self.rounds, self.watchable.is_watched(), self.watchable.why_not().is_some())
    }
}
