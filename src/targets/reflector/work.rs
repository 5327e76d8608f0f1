//! Sends several requests to a target at a time, and applies the responses.

use std::future::poll_fn;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use tokio::time::Instant;

use super::Reflector;
use crate::domain::reason::Reason;
use crate::domain::snapshot::{Answer, ObjectRef, Query, Resource, Served};
use crate::targets::entry::{Cached, Compared, Watch, watch_again};
use crate::targets::fault::{Fault, too_much};
use crate::targets::http::Channel;
use crate::targets::job::{Done, Job, WatchReply};
use crate::targets::limits::Limits;
use crate::targets::list::Found;

impl Reflector {
    /// Awaits `request` and reads the watches meanwhile, as an unread watch can block its connection.
    pub(super) async fn with_watches<T>(&mut self, limits: &Limits, mut request: impl Future<Output = T> + Unpin) -> T {
        poll_fn(|context| {
            let polled = request.poll_unpin(context);
            // Reads events that arrived before the response too.
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
        while let Some((query, done)) = self.with_watches(limits, done.next()).await {
            match done {
                Ok(done) => broken |= self.apply(&query, done, limits),
                // Other requests in flight may still be answered.
                Err(fault) if fault.failure.reason == Reason::ConnectionLost => lost = Some(fault),
                Err(fault) => return Err(fault),
            }
            // The remaining watches would only time out as well.
            if broken {
                break;
            }
        }
        drop(done);
        if broken {
            self.stop_watching(Reason::WatchBroken, limits);
        }
        if !self.reserve_memory(limits) {
            return Err(too_much(channel.host()).into());
        }
        lost.map_or(Ok(()), Err)
    }

    /// Applies a response. Returns true if the server cannot watch, or a watch has lost something.
    fn apply(&mut self, query: &Query, done: Done, limits: &Limits) -> bool {
        let polled = !self.watchable.is_watched();
        let done = match done {
            Done::Fetched(Found::Served(served)) => {
                let lists = self.managed.iter().filter_map(|list| list.as_served(&served)).collect();
                let missing = self.entries.unserved(&served);
                Done::Fetched(Found::Answer(Answer::Served(Served { missing, lists })))
            }
            other => other,
        };
        let entry = self.entries.at(query);
        entry.queried_in = self.rounds;
        match done {
            Done::Confirmed(Found::Objects(listed, version)) => {
                entry.listed_in = self.rounds;
                let Cached::Objects(watched) = &mut entry.cached else { return false };
                let compared = watched.compare(&listed, version.as_deref());
                if compared == Compared::Equal && watched.adopt(&listed) {
                    self.version += 1;
                }
                let is_missing = compared == Compared::Missing;
                if is_missing {
                    self.version += u64::from(entry.update(Found::Objects(listed, version)));
                    entry.versioned_in = self.rounds;
                }
                is_missing && !entry.poll_alone(limits)
            }
            Done::NotWatchable(found) => {
                self.version += u64::from(entry.update(found));
                entry.listed_in = self.rounds;
                true
            }
            Done::Fetched(found) | Done::Confirmed(found) => {
                // No resourceVersion: the server does not support watches.
                let has_no_version = matches!(found, Found::Objects(_, None));
                let changed = entry.update(found);
                self.version += u64::from(changed);
                (entry.listed_in, entry.versioned_in) = (self.rounds, self.rounds);
                let Cached::Objects(watched) = &entry.cached else {
                    if changed && is_crd(query) {
                        self.entries.clear_served();
                    }
                    return false;
                };
                !polled && has_no_version && matches!(watched.watch, Watch::Closed) && !entry.poll_alone(limits)
            }
            Done::WatchList(watched) => {
                self.version += u64::from(entry.update_watched(watched));
                (entry.listed_in, entry.versioned_in) = (self.rounds, self.rounds);
                self.wake.wake();
                false
            }
            Done::Watch(reply) => self.apply_watch(query, reply, limits),
        }
    }

    /// Applies a response to the request for a watch, as [`Self::apply`].
    fn apply_watch(&mut self, query: &Query, reply: WatchReply, limits: &Limits) -> bool {
        let entry = self.entries.at(query);
        let Cached::Objects(watched) = &mut entry.cached else { return false };
        match reply {
            WatchReply::Open(body) => {
                watched.open(body);
                self.wake.wake();
            }
            // Expired right after the list: watching is impossible.
            WatchReply::Gone if entry.versioned_in == self.rounds => return !entry.poll_alone(limits),
            WatchReply::Gone => watched.clear_version(),
            WatchReply::Forbidden => watched.watch = Watch::Forbidden { until: watch_again(limits) },
        }
        false
    }
}

fn is_crd(query: &Query) -> bool {
    matches!(query, Query::Object(ObjectRef { resource: Resource::Crd, .. }))
}
