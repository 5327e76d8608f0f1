//! Caches the answer to one query of one target, and reads the watch that keeps it current.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::decode::{self, Event};
use super::gap::Comparison;
use super::http2::Http2Body;
use super::limits::Limits;
use super::lines::Lines;
use super::list::{Found, is_version};
use super::listed::Listed;
use super::objects::{BadPage, Objects, name_hash};
use super::text::Text;
use super::watchable::SHORT_LIFE;
use crate::domain::snapshot::{Answer, Extent};

/// Bytes read from one watch before yielding to other tasks: about a millisecond of work. The connection receives more
/// meanwhile on another thread, so a cluster could otherwise keep this task busy for as long as it likes.
const POLL_BUDGET: usize = 32 * 1024;

/// One query.
#[derive(Default)]
pub(super) struct Entry {
    pub cached: Cached,
    /// The last round that queried it.
    pub queried_in: u64,
    /// The last round that fetched all of it, not only changes.
    pub listed_in: u64,
    /// The last round in which a list gave the version that its watch resumes from.
    pub versioned_in: u64,
}

#[derive(Default)]
pub(super) enum Cached {
    #[default]
    Nothing,
    /// A GET by name, or a list that was 404 or 403.
    Answer(Answer),
    Objects(WatchedList),
}

/// A list, and the watch that keeps it current.
pub(super) struct WatchedList {
    objects: Objects,
    /// The resourceVersion that a watch resumes from. `None`: list again, or wait for the end of the initial events.
    version: Option<String>,
    pub watch: Watch,
}

pub(super) enum Watch {
    /// To be opened.
    Closed,
    Open(Box<Stream>),
    /// Not yet reported by [`WatchedList::take_end`].
    Ended(WatchEnd),
    /// The target's RBAC doesn't grant it; retried at `until`.
    Forbidden {
        until: Instant,
    },
}

/// How a watch ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchEnd {
    pub lifetime: Duration,
    /// It delivered something that can't be used; its query is then cleared.
    pub bad: Option<BadPage>,
}

/// An open watch.
pub(super) struct Stream {
    body: Http2Body,
    lines: Lines,
    opened: Instant,
    /// When the last bytes arrived.
    last_data: Instant,
    /// It has delivered an event after the initial list.
    has_events: bool,
    /// With a list in flight.
    comparison: Option<Box<Comparison>>,
}

/// How a watch compares with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Equal,
    /// It lacks something that may be in transit.
    Behind,
    /// It has lost something.
    Missing,
}

impl Stream {
    /// Whether nothing has arrived for `duration`.
    pub(super) fn is_silent(&self, duration: Duration) -> bool {
        self.last_data.elapsed() >= duration
    }

    /// Whether it has delivered an event after the initial list.
    pub(super) fn has_events(&self) -> bool {
        self.has_events
    }
}

impl Entry {
    /// The watch, if open.
    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.cached {
            Cached::Objects(watched) => watched.stream(),
            _ => None,
        }
    }

    /// Stores a result. Returns whether the answer changed.
    pub(super) fn update(&mut self, found: Found) -> bool {
        let cached = match found {
            Found::Answer(Answer::Unreadable { reason, .. }) => {
                Cached::Answer(Answer::unreadable(reason, self.answer().as_ref()))
            }
            Found::Answer(answer) => Cached::Answer(answer),
            // Compared with what exists before it gets here.
            Found::Served(_) => Cached::Nothing,
            Found::Objects(objects, version) => {
                // A forbidden watch stays forbidden across lists.
                let watch = match &self.cached {
                    Cached::Objects(WatchedList { watch: Watch::Forbidden { until }, .. }) => {
                        Watch::Forbidden { until: *until }
                    }
                    _ => Watch::Closed,
                };
                Cached::Objects(WatchedList { objects, version, watch })
            }
        };
        self.replace(cached)
    }

    /// As [`Self::update`], for a list that arrived through its watch.
    pub(super) fn update_watched(&mut self, watched: WatchedList) -> bool {
        self.replace(Cached::Objects(watched))
    }

    fn replace(&mut self, cached: Cached) -> bool {
        let before = self.answer();
        self.cached = cached;
        before.is_none_or(|before| self.answer() != Some(before))
    }

    pub(super) fn answer(&self) -> Option<Answer> {
        match &self.cached {
            Cached::Nothing => None,
            Cached::Answer(answer) => Some(answer.clone()),
            Cached::Objects(watched) => Some(watched.objects.answer()),
        }
    }

    /// Takes the end of its watch, once. Clears the cache if the watch delivered something bad.
    pub(super) fn take_end(&mut self) -> Option<WatchEnd> {
        let Cached::Objects(watched) = &mut self.cached else { return None };
        let end = watched.take_end()?;
        if end.bad.is_some() {
            self.cached = Cached::Nothing;
        }
        Some(end)
    }

    /// Polls managed objects alone for a while, as their watch has lost something or can't be resumed. Returns false for
    /// other lists, whose watches tell about all of the target.
    pub(super) fn poll_alone(&mut self, limits: &Limits) -> bool {
        match &mut self.cached {
            Cached::Objects(watched) if watched.objects.listed().is_managed() => {
                watched.watch = Watch::Forbidden { until: watch_again(limits) };
                true
            }
            _ => false,
        }
    }

    /// Keeps a fault in a watch of managed objects from the other watches: a list that can't be used is set aside, and
    /// one whose watch was cut is polled for a while. Returns whether the answer changed.
    pub(super) fn isolate_end(&mut self, limits: &Limits) -> bool {
        let Cached::Objects(watched) = &mut self.cached else { return false };
        let (true, Watch::Ended(end)) = (watched.objects.listed().is_managed(), &watched.watch) else { return false };
        match end.bad {
            Some(bad) => self.cached = Cached::Answer(Answer::unreadable(bad.reason(), None)),
            None if end.lifetime < SHORT_LIFE => watched.watch = Watch::Forbidden { until: watch_again(limits) },
            None => {}
        }
        matches!(self.cached, Cached::Answer(_))
    }

    /// Approximate bytes retained.
    pub(super) fn bytes(&self) -> usize {
        match &self.cached {
            Cached::Objects(watched) => watched.objects.bytes(),
            Cached::Nothing | Cached::Answer(_) => 0,
        }
    }

    /// Number of objects, if they are managed ones.
    pub(super) fn managed(&self) -> Option<u64> {
        match &self.cached {
            Cached::Objects(watched) if watched.objects.listed().is_managed() => Some(watched.objects.len() as u64),
            _ => None,
        }
    }

    pub(super) fn extent(&self) -> Option<Extent> {
        match &self.cached {
            Cached::Nothing => None,
            Cached::Answer(answer) => Some(answer.extent()),
            Cached::Objects(watched) if watched.objects.is_empty() => Some(Extent::Nothing),
            Cached::Objects(_) => Some(Extent::Something),
        }
    }
}

/// The time at which a watch that does not work is tried again.
pub(super) fn watch_again(limits: &Limits) -> Instant {
    Instant::now() + limits.settings().watch_again
}

impl WatchedList {
    /// A list that arrives as the initial events of this watch.
    pub(super) fn streamed(listed: Listed, body: Http2Body) -> Self {
        let mut watched = Self { objects: Objects::new(listed), version: None, watch: Watch::Closed };
        watched.open(body);
        watched
    }

    /// Waits for the end of the initial list. Returns false if the watch ends before.
    pub(super) async fn listed(&mut self, limits: &Limits) -> bool {
        let is_listed = poll_fn(|context| {
            self.read(context, limits);
            match self.watch {
                _ if self.version.is_some() => Poll::Ready(true),
                Watch::Ended(_) => Poll::Ready(false),
                _ => Poll::Pending,
            }
        })
        .await;
        self.objects.shrink();
        is_listed
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Makes the next watch begin with a list.
    pub(super) fn clear_version(&mut self) {
        self.version = None;
    }

    pub(super) fn open(&mut self, body: Http2Body) {
        let now = Instant::now();
        self.watch = Watch::Open(Box::new(Stream {
            body,
            lines: Lines::default(),
            opened: now,
            last_data: now,
            has_events: false,
            comparison: None,
        }));
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.watch {
            Watch::Open(stream) => Some(stream),
            _ => None,
        }
    }

    /// Starts to record what the watch delivers, for comparison with a list that is about to be requested.
    pub(super) fn begin_comparison(&mut self) {
        if let Watch::Open(stream) = &mut self.watch {
            stream.comparison = Some(Box::default());
        }
    }

    /// Compares with a list requested since. If the watch lacks some of the first list, request another one: whatever
    /// the watch still lacks of the first list when that arrives is missing.
    pub(super) fn compare(&mut self, listed: &Objects, version: Option<&str>) -> Compared {
        let Watch::Open(stream) = &mut self.watch else { return Compared::Equal };
        let Some(comparison) = &mut stream.comparison else { return Compared::Equal };
        let compared = match comparison.is_settled(&self.objects) {
            Some(false) => Compared::Missing,
            None if comparison.lacks(&self.objects, listed, version) => return Compared::Behind,
            _ => Compared::Equal,
        };
        stream.comparison = None;
        compared
    }

    /// Takes over what time has changed in a list that is equal otherwise. Returns whether anything changed.
    pub(super) fn adopt(&mut self, listed: &Objects) -> bool {
        self.objects.adopt(listed)
    }

    /// Whether the watch still lacks some of the first list.
    pub(super) fn is_behind(&self) -> bool {
        let comparison = self.stream().and_then(|stream| stream.comparison.as_ref());
        comparison.is_some_and(|comparison| comparison.is_settled(&self.objects) == Some(false))
    }

    pub(super) fn close(&mut self) {
        if let Watch::Open(_) | Watch::Ended(_) = self.watch {
            self.watch = Watch::Closed;
        }
    }

    /// Takes the end of the watch, once.
    fn take_end(&mut self) -> Option<WatchEnd> {
        let Watch::Ended(end) = self.watch else { return None };
        self.watch = Watch::Closed;
        Some(end)
    }

    /// Reads what has arrived, up to [`POLL_BUDGET`] bytes. Returns whether anything changed.
    pub(super) fn read(&mut self, context: &mut Context<'_>, limits: &Limits) -> bool {
        let (mut changed, mut budget) = (false, POLL_BUDGET);
        while let Watch::Open(stream) = &mut self.watch {
            let Stream { body, lines, opened, last_data, has_events, comparison } = &mut **stream;
            let data = match body.poll_data(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(data))) => data,
                Poll::Ready(Some(Err(_)) | None) => {
                    self.watch = Watch::Ended(WatchEnd { lifetime: opened.elapsed(), bad: None });
                    break;
                }
            };
            *last_data = Instant::now();
            let (objects, version) = (&mut self.objects, &mut self.version);
            let fed = lines.feed(&data, limits, |line| {
                *has_events |= version.is_some();
                changed |= apply_line(objects, version, comparison.as_deref_mut(), line, limits)?;
                Ok(())
            });
            budget = budget.saturating_sub(data.len());
            if let Err(bad) = fed {
                // The list that follows reports the cause.
                self.version = None;
                let bad = (bad != BadPage::Ended).then_some(bad);
                self.watch = Watch::Ended(WatchEnd { lifetime: opened.elapsed(), bad });
            }
            if budget == 0 {
                context.waker().wake_by_ref();
                break;
            }
        }
        changed
    }
}

/// Applies one line of the watch. Returns whether it changed anything.
fn apply_line(
    objects: &mut Objects,
    version: &mut Option<String>,
    comparison: Option<&mut Comparison>,
    mut line: Vec<u8>,
    limits: &Limits,
) -> Result<bool, BadPage> {
    let (event, newer) = decode::event(objects.listed(), &mut line, limits.pools())?;
    let is_end = matches!(event, Event::EndOfList);
    if let Some(comparison) = comparison {
        match &event {
            Event::Put(object) => comparison.record(object.name_hash(), newer.as_deref()),
            Event::Removed { name } => comparison.record(name_hash(name), newer.as_deref()),
            Event::Bookmark | Event::EndOfList => {}
        }
    }
    let changed = match event {
        Event::Put(object) => objects.put(object)?,
        Event::Removed { name } => objects.remove(&name),
        Event::Bookmark | Event::EndOfList => false,
    };
    // Initial events are unordered: only the bookmark at their end has a version to resume from.
    if version.is_some() || is_end {
        *version = newer.filter(|newer| is_version(newer)).map(Text::into_owned).or_else(|| version.take());
    }
    Ok(changed)
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
