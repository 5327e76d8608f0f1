//! Confirms in every round that the target answers and that its watches deliver every change.
//!
//! Each round fetches one watched list, in rotation, and one name, which can't be watched; while watches are on trial,
//! every list. A lost change is therefore found within as many intervals as there are watches, whatever lost it. A
//! watch without any data, not even a bookmark, is also found after `watch_silence`.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Reflector;
use crate::domain::reason::Reason;
use crate::domain::snapshot::Query;
use crate::targets::due::to_confirm;
use crate::targets::entry::{Cached, Entry, WatchedList};
use crate::targets::fault::Fault;
use crate::targets::http::Channel;
use crate::targets::job::Job;
use crate::targets::limits::Limits;
use crate::targets::list;
use crate::targets::standing::Standing;

/// Upper bound of a change's delay on a watch. API servers deliver within milliseconds.
const GRACE: Duration = Duration::from_secs(3);

impl Reflector {
    /// Makes a target that failed last, or has nothing due, answer a request: an open watch is no sign of life.
    pub(super) async fn confirm(
        &mut self,
        channel: &Channel,
        standing: Standing,
        limits: &Limits,
        deadline: &mut Instant,
    ) -> Result<(), Fault> {
        let is_watching = self.entries.iter().any(|(_, entry)| entry.stream().is_some());
        if !is_watching && !standing.is_failing() && !self.due().is_empty() {
            return Ok(());
        }
        let queries = to_confirm(&self.entries, self.rounds, is_watching && self.watchable.is_on_trial());
        if queries.is_empty() {
            return self.with_watches(limits, Box::pin(list::probe(channel, limits, *deadline))).await;
        }
        let jobs = queries.into_iter().map(|query| self.confirmation(query)).collect();
        self.work(channel, jobs, limits, *deadline).await?;
        let behind = self.behind();
        if !behind.is_empty() {
            let started = Instant::now();
            self.catch_up(limits).await;
            *deadline += started.elapsed();
            self.work(channel, self.behind(), limits, *deadline).await?;
        }
        let silence = limits.settings().watch_silence;
        if self.entries.iter().any(|(_, entry)| entry.stream().is_some_and(|stream| stream.is_silent(silence))) {
            self.stop_watching(Reason::WatchBroken, limits);
        }
        Ok(())
    }

    fn confirmation(&mut self, query: Query) -> Job {
        match &mut self.entries.at(&query).cached {
            Cached::Objects(watched) => {
                watched.begin_comparison();
                Job::Confirm(query)
            }
            _ => Job::Fetch(query),
        }
    }

    /// The lists to fetch again, as their watches lack some of them.
    fn behind(&self) -> Vec<Job> {
        let behind = self.entries.iter().filter(|(_, entry)| is_behind(entry));
        behind.map(|(query, _)| Job::Confirm(query.clone())).collect()
    }

    /// Waits until the watches have delivered what the lists have, or [`GRACE`] is over.
    async fn catch_up(&mut self, limits: &Limits) {
        let mut grace = pin!(sleep(GRACE));
        poll_fn(|context| {
            self.read_watches(context, limits);
            match self.entries.iter().any(|(_, entry)| is_behind(entry)) {
                true => grace.as_mut().poll(context),
                false => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Records a round in which every due request was answered.
    pub(super) fn round_succeeded(&mut self) {
        self.was_watched |= self.watchable.is_watched();
        let mut streams = self.entries.iter().filter_map(|(_, entry)| entry.stream()).peekable();
        if streams.peek().is_some() && streams.all(|stream| stream.has_events()) {
            self.watchable.pass_trial();
        }
    }
}

fn is_behind(entry: &Entry) -> bool {
    matches!(&entry.cached, Cached::Objects(watched) if WatchedList::is_behind(watched))
}
