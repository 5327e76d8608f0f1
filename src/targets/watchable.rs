//! Whether a target can be watched at all, and since when not.

use std::time::Duration;

use tokio::time::Instant;

use super::entry::End;
use super::http::Protocol;
use super::objects::BadPage;
use crate::domain::reason::Reason;

/// A watch that ends sooner was cut. After so many in a row the target is polled.
const SHORT_LIFE: Duration = Duration::from_secs(5);
const MAX_SHORT_LIVES: u32 = 3;

/// A target that can't be watched is tried again after this.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct Watchable {
    short_lives: u32,
    not: Option<Unwatchable>,
}

/// Why nothing of the target is watched.
#[derive(Clone, Copy)]
struct Unwatchable {
    reason: Reason,
    /// `None`: as long as the target is what it is.
    until: Option<Instant>,
}

impl Watchable {
    /// As the operator wants it.
    pub(super) fn never() -> Self {
        Self { short_lives: 0, not: Some(Unwatchable { reason: Reason::PollChosen, until: None }) }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.not.is_none()
    }

    /// Why it is polled, if it is.
    pub(super) fn why_not(&self) -> Option<Reason> {
        self.not.map(|not| not.reason)
    }

    /// Lets it be tried again when it is time.
    pub(super) fn refresh(&mut self, now: Instant) {
        if self.not.is_some_and(|not| not.until.is_some_and(|until| until <= now)) {
            self.not = None;
        }
    }

    pub(super) fn stop(&mut self, reason: Reason, now: Instant) {
        *self = Self { short_lives: 0, not: Some(Unwatchable { reason, until: Some(now + TRY_AGAIN) }) };
    }

    /// Watches are streams of HTTP/2.
    pub(super) fn speak(&mut self, protocol: Protocol) {
        match (protocol, self.why_not()) {
            (Protocol::Http1, None) => self.not = Some(Unwatchable { reason: Reason::NoHttp2, until: None }),
            (Protocol::Http2, Some(Reason::NoHttp2)) => self.not = None,
            _ => {}
        }
    }

    /// Takes note of watches that ended together. Some: too many have, for this reason.
    pub(super) fn ended(&mut self, ends: &[End]) -> Option<Reason> {
        let bad = ends.iter().find_map(|end| end.bad);
        let is_short = bad.is_some() || ends.iter().all(|end| end.lived < SHORT_LIFE);
        self.short_lives = if is_short { self.short_lives + 1 } else { 0 };
        (self.short_lives >= MAX_SHORT_LIVES).then_some(match bad {
            None | Some(BadPage::Ended) => Reason::WatchBroken,
            Some(BadPage::TooLarge) => Reason::AnswerTooLarge,
            Some(BadPage::Invalid | BadPage::Name) => Reason::InvalidAnswer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(seconds: u64, bad: Option<BadPage>) -> End {
        End { lived: Duration::from_secs(seconds), bad }
    }

    #[test]
    fn short_and_bad_watches_in_a_row_are_too_many() {
        let mut watchable = Watchable::default();
        let mut after = |ends: &[End]| watchable.ended(ends);
        assert_eq!([after(&[end(1, None)]), after(&[end(1, None)]), after(&[end(60, None)])], [None; 3], "one lasted");
        assert_eq!([after(&[end(1, None)]), after(&[end(1, None)])], [None; 2]);
        assert_eq!(after(&[end(1, None), end(2, None)]), Some(Reason::WatchBroken));

        for (bad, reason) in [
            (BadPage::TooLarge, Reason::AnswerTooLarge),
            (BadPage::Name, Reason::InvalidAnswer),
            (BadPage::Invalid, Reason::InvalidAnswer),
        ] {
            let mut watchable = Watchable::default();
            let mut after = || watchable.ended(&[end(600, None), end(600, Some(bad))]);
            assert_eq!([after(), after(), after()], [None, None, Some(reason)], "however long it lasted");
        }
    }

    #[test]
    fn stopped_watches_are_tried_again() {
        let (mut watchable, now) = (Watchable::default(), Instant::now());
        watchable.stop(Reason::WatchBroken, now);
        watchable.refresh(now + TRY_AGAIN / 2);
        assert_eq!(watchable.why_not(), Some(Reason::WatchBroken));
        watchable.refresh(now + TRY_AGAIN);
        assert!(watchable.is_watched());
        let mut never = Watchable::never();
        never.refresh(now + TRY_AGAIN * 9);
        assert_eq!(never.why_not(), Some(Reason::PollChosen));
    }
}
