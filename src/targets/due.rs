//! Chooses the next requests to a target from its cached entries.

use tokio::time::Instant;

use super::entries::Entries;
use super::entry::{Cached, Entry, Watch};
use super::job::Job;
use crate::domain::snapshot::{Answer, PERSISTENT, Query, Resource};

/// API servers allow 100 streams per connection. Lists beyond this are polled.
const MAX_WATCHES: usize = 64;

/// The requests that are due now in this round; watches only once nothing else is due, which keeps the number of open
/// streams low. `watched`: watches are opened; `polled`: everything is fetched every round, watched or not.
pub(super) fn due(entries: &Entries, round: u64, watched: bool, polled: bool) -> Vec<Job> {
    let now = Instant::now();
    let mut room = MAX_WATCHES;
    let (mut fetches, mut watches) = (Vec::new(), Vec::new());
    for (query, entry) in entries.iter() {
        let fetch = || Job::Fetch(query.clone());
        // Without a watch, managed objects are listed once in several rounds: they are many.
        let is_new = entry.queried_in != round && (entry.managed().is_none() || is_old(entry, round));
        let may_watch = watched && room > 0 && is_list(query);
        match &entry.cached {
            Cached::Nothing if may_watch => fetches.push(Job::WatchList(query.clone())),
            Cached::Nothing => fetches.push(fetch()),
            Cached::Answer(answer) if is_namespace(query) && is_read_rarely(answer) => {
                fetches.extend((polled && is_new && is_old(entry, round)).then(fetch));
            }
            Cached::Answer(answer) if *query == Query::Served => {
                let is_wanted = is_unserved(answer) || polled && is_old(entry, round);
                fetches.extend((is_new && is_wanted).then(fetch));
            }
            // Read again in rotation, one in each round.
            Cached::Answer(answer) if is_in_rotation(query) && !is_on_trial(answer) && !polled => continue,
            Cached::Answer(_) => fetches.extend(is_new.then(fetch)),
            Cached::Objects(watched_list) => match (&watched_list.watch, watched_list.version()) {
                // An ended watch is reopened once its end is reported.
                (Watch::Open(_) | Watch::Ended(_), _) => {}
                (Watch::Forbidden { until }, _) if *until > now => {
                    fetches.extend(is_new.then(fetch));
                    continue;
                }
                (_, Some(version)) if may_watch && !(polled && is_new) => {
                    watches.push(Job::Watch(query.clone(), version.to_owned()))
                }
                (_, None) if may_watch => fetches.push(Job::WatchList(query.clone())),
                _ => fetches.extend(is_new.then(fetch)),
            },
        }
        room -= usize::from(may_watch);
    }
    if fetches.is_empty() { watches } else { fetches }
}

/// Rounds between two reads of a namespace, which is hardly ever deleted.
const NAMESPACE_ROUNDS: u64 = 10;

/// Whether the query is for one object, or for nothing that can be watched: one answer of this kind is read again in each
/// round. So are managed objects that the cluster does not list.
fn is_rotated(query: &Query) -> bool {
    matches!(query, Query::Object(_) | Query::Served | Query::Managed(_))
}

/// Whether something exists without being served, which may end at any time.
fn is_unserved(answer: &Answer) -> bool {
    matches!(answer, Answer::Served(served) if !served.missing.is_empty())
}

/// Whether a list has failed, and not yet often enough to say so.
fn is_on_trial(answer: &Answer) -> bool {
    matches!(answer, Answer::Unreadable { times, .. } if *times < PERSISTENT)
}

fn is_list(query: &Query) -> bool {
    matches!(query, Query::List { .. } | Query::Managed(_))
}

/// Managed objects for which a list waits another round until it is read again.
const MANAGED_PER_ROUND: u64 = 100;

fn is_namespace(query: &Query) -> bool {
    matches!(query, Query::Object(object) if object.is_namespace())
}

/// Whether it is a name whose appearance may be noticed late. A tool's usual namespace is not.
fn is_in_rotation(query: &Query) -> bool {
    match query {
        Query::Object(object) => object.resource != Resource::Namespace,
        Query::Managed(_) => true,
        _ => false,
    }
}

/// A namespace that is there, or that ksit may not read. One that is missing may appear at any time.
fn is_read_rarely(answer: &Answer) -> bool {
    matches!(answer, Answer::Object(_) | Answer::Forbidden)
}

fn is_old(entry: &Entry, round: u64) -> bool {
    round >= entry.listed_in + NAMESPACE_ROUNDS
}

/// The queries to confirm in this round: the watched list and the name that were fetched longest ago. With `all`, every
/// watched list.
pub(super) fn to_confirm(entries: &Entries, round: u64, all: bool) -> Vec<Query> {
    let lists = || entries.iter().filter(|(_, entry)| entry.stream().is_some());
    if all {
        return lists().map(|(query, _)| query.clone()).collect();
    }
    let is_due = |query: &Query, entry: &Entry, answer: &Answer| match answer {
        // Discovery may be a hundred kilobytes.
        Answer::Counted(_) | Answer::Served(_) => is_old(entry, round),
        _ => is_rotated(query) && (!is_namespace(query) || !is_read_rarely(answer) || is_old(entry, round)),
    };
    let names = entries.iter().filter(|(query, entry)| match &entry.cached {
        Cached::Answer(answer) => is_due(query, entry, answer),
        _ => false,
    });
    let age = |(_, entry): &&(Query, Entry)| entry.listed_in;
    // A long list of managed objects waits for longer, as it costs its cluster more.
    let weighted =
        |(_, entry): &&(Query, Entry)| entry.listed_in + entry.managed().unwrap_or_default() / MANAGED_PER_ROUND;
    lists().min_by_key(weighted).into_iter().chain(names.min_by_key(age)).map(|(query, _)| query.clone()).collect()
}
