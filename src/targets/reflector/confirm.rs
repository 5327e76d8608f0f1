//! Confirms in every round that the target answers and that its watches bring all that happens.
//!
//! One of the lists that are watched is asked anew, in rotation, and one of the names, which can't be watched; while
//! watches are on trial, all lists are. So what a watch has lost is found within as many intervals as there are watches,
//! whatever has lost it. A watch from which nothing comes at all, not even a bookmark, is found after `watch_silence` too.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Reflector;
use crate::domain::reason::Reason;
use crate::domain::snapshot::Query;
use crate::targets::due::unconfirmed;
use crate::targets::entry::{Entry, Followed, Known};
use crate::targets::fault::Fault;
use crate::targets::http::Channel;
use crate::targets::job::Job;
use crate::targets::limits::Limits;
use crate::targets::list;

/// A change may be under way to a watch for so long. API servers hand it on within milliseconds.
const GRACE: Duration = Duration::from_secs(3);

impl Reflector {
    /// A target that failed last, or has nothing due, has to answer something: an open watch is no sign of life.
    pub(super) async fn confirm(
        &mut self,
        channel: &Channel,
        failing: bool,
        limits: &Limits,
        deadline: &mut Instant,
    ) -> Result<(), Fault> {
        let is_watching = self.entries.iter().any(|(_, entry)| entry.stream().is_some());
        if !is_watching && !failing && !self.due().is_empty() {
            return Ok(());
        }
        let queries = unconfirmed(&self.entries, is_watching && self.watchable.is_on_trial());
        if queries.is_empty() {
            return self.reading_on(limits, Box::pin(list::probe(channel, limits, *deadline))).await;
        }
        let jobs = queries.into_iter().map(|query| self.confirmation(query)).collect();
        self.work(channel, jobs, limits, *deadline).await?;
        let behind = self.behind();
        if !behind.is_empty() {
            let waited = Instant::now();
            self.catch_up(limits).await;
            *deadline += waited.elapsed();
            self.work(channel, self.behind(), limits, *deadline).await?;
        }
        let silence = limits.settings().watch_silence;
        if self.entries.iter().any(|(_, entry)| entry.stream().is_some_and(|stream| stream.is_silent(silence))) {
            self.stop_watching(Reason::WatchBroken, limits);
        }
        Ok(())
    }

    fn confirmation(&mut self, query: Query) -> Job {
        match &mut self.entries.at(&query).known {
            Known::Objects(followed) => {
                followed.begin_comparison();
                Job::Confirm(query)
            }
            _ => Job::Ask(query),
        }
    }

    /// Asks again for the lists of which the watches lack something.
    fn behind(&self) -> Vec<Job> {
        let behind = self.entries.iter().filter(|(_, entry)| is_behind(entry));
        behind.map(|(query, _)| Job::Confirm(query.clone())).collect()
    }

    /// Waits until the watches have brought what the lists have, and not for long.
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

    /// Takes note of a round in which all that is due was answered.
    pub(super) fn confirmed(&mut self) {
        self.was_watched |= self.watchable.is_watched();
        let mut streams = self.entries.iter().filter_map(|(_, entry)| entry.stream()).peekable();
        if streams.peek().is_some() && streams.all(|stream| stream.has_spoken()) {
            self.watchable.prove();
        }
    }
}

fn is_behind(entry: &Entry) -> bool {
    matches!(&entry.known, Known::Objects(followed) if Followed::is_behind(followed))
}
