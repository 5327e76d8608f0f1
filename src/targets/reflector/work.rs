//! Asks several things of a target at a time, and takes in the answers.

use std::future::poll_fn;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use tokio::time::Instant;

use super::Reflector;
use crate::domain::reason::Reason;
use crate::domain::snapshot::Query;
use crate::targets::entry::{Compared, Known, Watch};
use crate::targets::fault::{Fault, too_much};
use crate::targets::http::Channel;
use crate::targets::job::{Done, Job, WatchReply};
use crate::targets::limits::Limits;
use crate::targets::list::Found;

impl Reflector {
    /// Reads the watches on meanwhile, so that none of them holds up what is asked on the same connection.
    pub(super) async fn reading_on<T>(&mut self, limits: &Limits, mut asked: impl Future<Output = T> + Unpin) -> T {
        poll_fn(|context| {
            let polled = asked.poll_unpin(context);
            // Also what came before the answer.
            self.read_watches(context, limits);
            polled
        })
        .await
    }

    pub(super) async fn work(
        &mut self,
        channel: &Channel,
        jobs: Vec<Job>,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let mut done = stream::iter(jobs)
            .map(|job| job.run(channel, limits, deadline))
            .buffer_unordered(limits.settings().requests.max(1));
        let (mut lost, mut broken) = (None, false);
        while let Some((query, done)) = self.reading_on(limits, done.next()).await {
            match done {
                Ok(done) => broken |= self.take(&query, done, limits),
                // The target may still finish what it has begun.
                Err(fault) if fault.failure.reason == Reason::ConnectionLost => lost = Some(fault),
                Err(fault) => return Err(fault),
            }
            // The rest would wait as long, in vain.
            if broken {
                break;
            }
        }
        drop(done);
        if broken {
            self.stop_watching(Reason::WatchBroken, limits);
        }
        if !self.is_kept(limits) {
            return Err(too_much(channel.host()).into());
        }
        lost.map_or(Ok(()), Err)
    }

    /// True if there is no watch to be had.
    fn take(&mut self, query: &Query, done: Done, limits: &Limits) -> bool {
        let polled = !self.watchable.is_watched();
        let entry = self.entries.at(query);
        entry.asked_in = self.rounds;
        match done {
            Done::Listed(Found::Objects(listed, version)) => {
                entry.listed_in = self.rounds;
                let Known::Objects(followed) = &mut entry.known else { return false };
                let is_missing = followed.compare(&listed, version.as_deref()) == Compared::Missing;
                if is_missing {
                    self.version += u64::from(entry.take(Found::Objects(listed, version)));
                    entry.versioned_in = self.rounds;
                }
                is_missing
            }
            Done::Unwatched(found) => {
                self.version += u64::from(entry.take(found));
                entry.listed_in = self.rounds;
                true
            }
            Done::Found(found) | Done::Listed(found) => {
                // A list of no version is none of an API server that has watches.
                let has_no_version = matches!(found, Found::Objects(_, None));
                self.version += u64::from(entry.take(found));
                (entry.listed_in, entry.versioned_in) = (self.rounds, self.rounds);
                let Known::Objects(followed) = &entry.known else { return false };
                !polled && has_no_version && matches!(followed.watch, Watch::Closed)
            }
            Done::Followed(followed) => {
                self.version += u64::from(entry.follow(followed));
                (entry.listed_in, entry.versioned_in) = (self.rounds, self.rounds);
                self.wake.wake();
                false
            }
            Done::Watch(reply) => {
                let Known::Objects(followed) = &mut entry.known else { return false };
                match reply {
                    WatchReply::Open(body) => {
                        followed.open(body);
                        self.wake.wake();
                    }
                    // Too old a moment after the list: nobody could follow that.
                    WatchReply::Gone if entry.versioned_in == self.rounds => return true,
                    WatchReply::Gone => followed.forget_version(),
                    WatchReply::Forbidden => {
                        followed.watch = Watch::Forbidden { until: Instant::now() + limits.settings().watch_again };
                    }
                }
                false
            }
        }
    }
}
