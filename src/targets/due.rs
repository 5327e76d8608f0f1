//! What has to be asked of a target next, by what is known of it.

use tokio::time::Instant;

use super::entry::{Entries, Known, Watch};
use super::job::Job;
use crate::domain::snapshot::{Answer, Query};

/// API servers allow 100 streams on a connection. What is beyond is polled.
const MAX_WATCHES: usize = 64;

/// What has to be asked now in this round; watches only when there is nothing else, so that no more streams are open at
/// a time than have to be. `watched`: what can be watched is.
pub(super) fn due(entries: &Entries, round: u64, watched: bool) -> Vec<Job> {
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
            Known::Answer(Answer::Present) if watched => continue,
            Known::Answer(_) => asks.extend(is_new.then(ask)),
            Known::Objects(followed) => match (&followed.watch, followed.version()) {
                // What has ended meanwhile is opened again when that was told.
                (Watch::Open(_) | Watch::Ended(_), _) => {}
                (Watch::Forbidden { until }, _) if *until > now => {
                    asks.extend(is_new.then(ask));
                    continue;
                }
                (_, Some(version)) if may_watch => watches.push(Job::Watch(query.clone(), version.to_owned())),
                (_, None) if may_watch => asks.push(Job::Follow(query.clone())),
                _ => asks.extend(is_new.then(ask)),
            },
        }
        room -= usize::from(may_watch);
    }
    if asks.is_empty() { watches } else { asks }
}

/// The name whose answer is oldest.
pub(super) fn oldest_name(entries: &Entries) -> Option<Query> {
    let named = entries.iter().filter(|(query, _)| !matches!(query, Query::List { .. }));
    named.min_by_key(|(_, entry)| entry.asked_in).map(|(query, _)| query.clone())
}
