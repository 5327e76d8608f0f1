//! What has to be asked of a target next, by what is known of it.

use tokio::time::Instant;

use super::entry::{Entries, Entry, Known, Watch};
use super::job::Job;
use crate::domain::snapshot::{Answer, Query};

/// API servers allow 100 streams on a connection. What is beyond is polled.
const MAX_WATCHES: usize = 64;

/// What has to be asked now in this round; watches only when there is nothing else, so that no more streams are open at
/// a time than have to be. `watched`: watches are opened; `polled`: all is asked every round, be it watched or not.
pub(super) fn due(entries: &Entries, round: u64, watched: bool, polled: bool) -> Vec<Job> {
    let now = Instant::now();
    let mut room = MAX_WATCHES;
    let (mut asks, mut watches) = (Vec::new(), Vec::new());
    for (query, entry) in entries.iter() {
        let ask = || Job::Ask(query.clone());
        let is_new = entry.asked_in != round;
        let may_watch = watched && room > 0 && matches!(query, Query::List { .. });
        match &entry.known {
            Known::Nothing if may_watch => asks.push(Job::Follow(query.clone())),
            Known::Nothing => asks.push(ask()),
            Known::Answer(Answer::Present) if !polled => continue,
            Known::Answer(_) => asks.extend(is_new.then(ask)),
            Known::Objects(followed) => match (&followed.watch, followed.version()) {
                // What has ended meanwhile is opened again when that was told.
                (Watch::Open(_) | Watch::Ended(_), _) => {}
                (Watch::Forbidden { until }, _) if *until > now => {
                    asks.extend(is_new.then(ask));
                    continue;
                }
                (_, Some(version)) if may_watch && !(polled && is_new) => {
                    watches.push(Job::Watch(query.clone(), version.to_owned()))
                }
                (_, None) if may_watch => asks.push(Job::Follow(query.clone())),
                _ => asks.extend(is_new.then(ask)),
            },
        }
        room -= usize::from(may_watch);
    }
    if asks.is_empty() { watches } else { asks }
}

/// The queries whose answers are confirmed in this round: the list that is watched and the name that were not asked for
/// longest. With `all`, all lists that are watched.
pub(super) fn unconfirmed(entries: &Entries, all: bool) -> Vec<Query> {
    let lists = || entries.iter().filter(|(_, entry)| entry.stream().is_some());
    if all {
        return lists().map(|(query, _)| query.clone()).collect();
    }
    let is_name = |query: &Query| !matches!(query, Query::List { .. });
    let names = entries.iter().filter(|(query, entry)| is_name(query) && matches!(entry.known, Known::Answer(_)));
    let age = |(_, entry): &&(Query, Entry)| entry.listed_in;
    lists().min_by_key(age).into_iter().chain(names.min_by_key(age)).map(|(query, _)| query.clone()).collect()
}
