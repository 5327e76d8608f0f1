//! What is known of one query of one target, and whether that is kept up to date by a watch.

use std::collections::BTreeSet;
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
use super::objects::{BadPage, Objects, name_hash};
use super::text::Text;
use crate::domain::snapshot::{Answer, Extent, ListKind, Query};

/// Bytes of one watch that are taken in before other tasks have their turn: about a millisecond of work. The connection
/// brings more meanwhile, on another thread, so that a cluster could keep this one for as long as it likes.
const A_POLL: usize = 32 * 1024;

/// One query.
#[derive(Default)]
pub(super) struct Entry {
    pub known: Known,
    /// The last round in which it was asked.
    pub asked_in: u64,
    /// The last round in which all of it was asked, not only what changed.
    pub listed_in: u64,
    /// The last round in which the version that its watch goes on from came from a list.
    pub versioned_in: u64,
}

/// The entries of one target, in the order of their queries: a few dozen, which a map would give room for hundreds.
#[derive(Default)]
pub(super) struct Entries(Vec<(Query, Entry)>);

impl Entries {
    pub(super) fn get(&self, query: &Query) -> Option<&Entry> {
        self.place(query).ok().map(|place| &self.0[place].1)
    }

    /// The entry of that query; a new one if there is none.
    pub(super) fn at(&mut self, query: &Query) -> &mut Entry {
        let place = self.place(query).unwrap_or_else(|place| {
            self.0.insert(place, (query.clone(), Entry::default()));
            place
        });
        &mut self.0[place].1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Query, Entry)> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut().map(|(_, entry)| entry)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// About as many bytes as are kept of all.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, entry)| entry.bytes()).sum()
    }

    /// Lets the entry go of which most is kept.
    pub(super) fn forget_largest(&mut self) {
        if let Some((_, entry)) = self.0.iter_mut().max_by_key(|(_, entry)| entry.bytes()) {
            entry.known = Known::Nothing;
        }
    }

    /// Has entries for these queries and no others.
    pub(super) fn want(&mut self, queries: &BTreeSet<Query>, more: &BTreeSet<Query>) {
        self.0.retain(|(query, _)| queries.contains(query) || more.contains(query));
        for query in queries.iter().chain(more) {
            self.at(query);
        }
        self.0.shrink_to_fit();
    }

    fn place(&self, query: &Query) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(query))
    }
}

#[derive(Default)]
pub(super) enum Known {
    #[default]
    Nothing,
    /// Of a name; or a list that is not there, or may not be read.
    Answer(Answer),
    Objects(Followed),
}

/// A list, and the watch that keeps it.
pub(super) struct Followed {
    objects: Objects,
    /// The resourceVersion from which a watch goes on. `None`: it has to be listed anew, or what it begins with is
    /// still coming.
    version: Option<String>,
    pub watch: Watch,
}

pub(super) enum Watch {
    /// To be opened.
    Closed,
    Open(Box<Stream>),
    /// To be taken with [`Followed::take_end`].
    Ended(End),
    /// The target's RBAC doesn't grant it; to be tried again then.
    Forbidden {
        until: Instant,
    },
}

/// How a watch ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub lived: Duration,
    /// It brought something that can't be kept. Then nothing is known of its query any more.
    pub bad: Option<BadPage>,
}

/// An answer without end.
pub(super) struct Stream {
    body: Http2Body,
    lines: Lines,
    opened: Instant,
    /// When its last bytes came.
    heard: Instant,
    /// A line has come beyond the list that it began with.
    spoke: bool,
    /// With a list that is under way.
    comparison: Option<Box<Comparison>>,
}

/// A watch beside a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Alike,
    /// It lacks something that may be under way.
    Behind,
    /// It has lost something.
    Missing,
}

impl Stream {
    /// Whether nothing has come for so long.
    pub(super) fn is_silent(&self, time: Duration) -> bool {
        self.heard.elapsed() >= time
    }

    /// Whether it has brought anything of its own.
    pub(super) fn has_spoken(&self) -> bool {
        self.spoke
    }
}

impl Entry {
    /// Its watch, if that is open.
    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.known {
            Known::Objects(followed) => followed.stream(),
            _ => None,
        }
    }

    /// Whether the answer is another one now.
    pub(super) fn take(&mut self, found: Found) -> bool {
        let known = match found {
            Found::Answer(answer) => Known::Answer(answer),
            Found::Objects(objects, version) => {
                // Whether its watch is forbidden outlives a list.
                let watch = match &self.known {
                    Known::Objects(Followed { watch: Watch::Forbidden { until }, .. }) => {
                        Watch::Forbidden { until: *until }
                    }
                    _ => Watch::Closed,
                };
                Known::Objects(Followed { objects, version, watch })
            }
        };
        self.replace(known)
    }

    /// Whether the answer is another one now.
    pub(super) fn follow(&mut self, followed: Followed) -> bool {
        self.replace(Known::Objects(followed))
    }

    fn replace(&mut self, known: Known) -> bool {
        let before = self.answer();
        self.known = known;
        before.is_none_or(|before| self.answer() != Some(before))
    }

    pub(super) fn answer(&self) -> Option<Answer> {
        match &self.known {
            Known::Nothing => None,
            Known::Answer(answer) => Some(answer.clone()),
            Known::Objects(followed) => Some(followed.objects.answer()),
        }
    }

    /// How its watch ended, once. What a bad one left is let go.
    pub(super) fn take_end(&mut self) -> Option<End> {
        let Known::Objects(followed) = &mut self.known else { return None };
        let end = followed.take_end()?;
        if end.bad.is_some() {
            self.known = Known::Nothing;
        }
        Some(end)
    }

    /// About as many bytes as are kept of it.
    fn bytes(&self) -> usize {
        match &self.known {
            Known::Objects(followed) => followed.objects.bytes(),
            Known::Nothing | Known::Answer(_) => 0,
        }
    }

    pub(super) fn extent(&self) -> Option<Extent> {
        match &self.known {
            Known::Nothing => None,
            Known::Answer(answer) => Some(answer.extent()),
            Known::Objects(followed) if followed.objects.is_empty() => Some(Extent::Nothing),
            Known::Objects(_) => Some(Extent::Something),
        }
    }
}

impl Followed {
    /// A list that comes as the beginning of this watch.
    pub(super) fn streamed(kind: ListKind, body: Http2Body) -> Self {
        let mut followed = Self { objects: Objects::new(kind), version: None, watch: Watch::Closed };
        followed.open(body);
        followed
    }

    /// Waits for the end of the list that the watch began with. False if the watch ends before.
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

    /// The next watch has to begin with a list.
    pub(super) fn forget_version(&mut self) {
        self.version = None;
    }

    pub(super) fn open(&mut self, body: Http2Body) {
        let now = Instant::now();
        self.watch = Watch::Open(Box::new(Stream {
            body,
            lines: Lines::default(),
            opened: now,
            heard: now,
            spoke: false,
            comparison: None,
        }));
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.watch {
            Watch::Open(stream) => Some(stream),
            _ => None,
        }
    }

    /// From now on it is noted what the watch brings, for a list that is asked for.
    pub(super) fn begin_comparison(&mut self) {
        if let Watch::Open(stream) = &mut self.watch {
            stream.comparison = Some(Box::default());
        }
    }

    /// A list has come that was asked for since. Where the watch lacks some of the first one it has to be asked for again,
    /// and what the watch lacks of the first one then is missing.
    pub(super) fn compare(&mut self, listed: &Objects, version: Option<&str>) -> Compared {
        let Watch::Open(stream) = &mut self.watch else { return Compared::Alike };
        let Some(comparison) = &mut stream.comparison else { return Compared::Alike };
        let compared = match comparison.is_settled(&self.objects) {
            Some(false) => Compared::Missing,
            None if comparison.lacks(&self.objects, listed, version) => return Compared::Behind,
            _ => Compared::Alike,
        };
        stream.comparison = None;
        compared
    }

    /// Whether the watch lacks something of a list that has come.
    pub(super) fn is_behind(&self) -> bool {
        let comparison = self.stream().and_then(|stream| stream.comparison.as_ref());
        comparison.is_some_and(|comparison| comparison.is_settled(&self.objects) == Some(false))
    }

    pub(super) fn close(&mut self) {
        if let Watch::Open(_) | Watch::Ended(_) = self.watch {
            self.watch = Watch::Closed;
        }
    }

    /// How the watch ended, once.
    fn take_end(&mut self) -> Option<End> {
        let Watch::Ended(end) = self.watch else { return None };
        self.watch = Watch::Closed;
        Some(end)
    }

    /// Takes in what has come, or a good part of it: whether that changes anything.
    pub(super) fn read(&mut self, context: &mut Context<'_>, limits: &Limits) -> bool {
        let (mut changed, mut budget) = (false, A_POLL);
        while let Watch::Open(stream) = &mut self.watch {
            let Stream { body, lines, opened, heard, spoke, comparison } = &mut **stream;
            let data = match body.poll_data(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(data))) => data,
                Poll::Ready(Some(Err(_)) | None) => {
                    self.watch = Watch::Ended(End { lived: opened.elapsed(), bad: None });
                    break;
                }
            };
            *heard = Instant::now();
            let (objects, version) = (&mut self.objects, &mut self.version);
            let taken = lines.take(&data, limits, |line| {
                *spoke |= version.is_some();
                changed |= apply(objects, version, comparison.as_deref_mut(), line, limits)?;
                Ok(())
            });
            budget = budget.saturating_sub(data.len());
            if let Err(bad) = taken {
                // What can't be followed is listed anew, which then says what is wrong.
                self.version = None;
                let bad = (bad != BadPage::Ended).then_some(bad);
                self.watch = Watch::Ended(End { lived: opened.elapsed(), bad });
            }
            if budget == 0 {
                context.waker().wake_by_ref();
                break;
            }
        }
        changed
    }
}

/// Whether the line changed anything.
fn apply(
    objects: &mut Objects,
    version: &mut Option<String>,
    comparison: Option<&mut Comparison>,
    mut line: Vec<u8>,
    limits: &Limits,
) -> Result<bool, BadPage> {
    let (event, newer) = decode::event(objects.kind(), &mut line, limits.pools())?;
    let is_end = matches!(event, Event::EndOfList);
    if let Some(comparison) = comparison {
        match &event {
            Event::Put(object) => comparison.note(object.name_hash(), newer.as_deref()),
            Event::Removed { name } => comparison.note(name_hash(name), newer.as_deref()),
            Event::Bookmark | Event::EndOfList => {}
        }
    }
    let changed = match event {
        Event::Put(object) => objects.put(object)?,
        Event::Removed { name } => objects.remove(&name),
        Event::Bookmark | Event::EndOfList => false,
    };
    // What a stream begins with comes in no order: only its end says up to where all of it was seen.
    if version.is_some() || is_end {
        *version = newer.filter(|newer| is_version(newer)).map(Text::into_owned).or_else(|| version.take());
    }
    Ok(changed)
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
