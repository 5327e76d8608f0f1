//! Whether a target can be watched at all, and why not.
//!
//! ```text
//! watched ── stop ──> polled ── watch_again later ──> on trial ── all watches spoke ──> watched
//!                       ^── stop ─────────────────────────┘
//! ```
//!
//! On trial, watches are open and everything is asked every round all the same.

use std::time::Duration;

use tokio::time::Instant;

use super::entry::End;
use super::http::Protocol;
use super::objects::BadPage;
use crate::domain::reason::Reason;

/// A watch that ends sooner was cut. After so many in a row the target is polled.
const SHORT_LIFE: Duration = Duration::from_secs(5);
const MAX_SHORT_LIVES: u32 = 3;

#[derive(Default)]
pub(super) struct Watchable {
    short_lives: u32,
    not: Option<Unwatchable>,
}

/// Why the target is polled.
#[derive(Clone, Copy)]
struct Unwatchable {
    reason: Reason,
    again: Again,
}

/// When watches are opened again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// As long as the target is what it is.
    Never,
    At(Instant),
    /// They are, and have to prove themselves.
    OnTrial,
}

impl Watchable {
    /// As the operator wants it.
    pub(super) fn never() -> Self {
        Self { short_lives: 0, not: Some(Unwatchable { reason: Reason::PollChosen, again: Again::Never }) }
    }

    /// Whether watches may be opened.
    pub(super) fn is_watched(&self) -> bool {
        self.not.is_none() || self.is_on_trial()
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.not.is_some_and(|not| not.again == Again::OnTrial)
    }

    /// Why it is polled, if it is.
    pub(super) fn why_not(&self) -> Option<Reason> {
        self.not.map(|not| not.reason)
    }

    /// Lets it be tried again when it is time.
    pub(super) fn refresh(&mut self, now: Instant) {
        if let Some(Unwatchable { again: again @ Again::At(_), .. }) = &mut self.not
            && matches!(again, Again::At(at) if *at <= now)
        {
            *again = Again::OnTrial;
        }
    }

    pub(super) fn stop(&mut self, reason: Reason, again: Instant) {
        *self = Self { short_lives: 0, not: Some(Unwatchable { reason, again: Again::At(again) }) };
    }

    /// Every watch has brought something since it was opened.
    pub(super) fn prove(&mut self) {
        if self.is_on_trial() {
            self.not = None;
        }
    }

    /// Watches are streams of HTTP/2.
    pub(super) fn speak(&mut self, protocol: Protocol) {
        match (protocol, self.why_not()) {
            (Protocol::Http1, _) if self.is_watched() => {
                self.not = Some(Unwatchable { reason: Reason::NoHttp2, again: Again::Never });
            }
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
    fn stopped_watches_are_tried_again_and_have_to_prove_themselves() {
        let (mut watchable, now, later) = (Watchable::default(), Instant::now(), Duration::from_secs(300));
        watchable.stop(Reason::WatchBroken, now + later);
        watchable.refresh(now + later / 2);
        watchable.prove();
        assert_eq!((watchable.is_watched(), watchable.why_not()), (false, Some(Reason::WatchBroken)));
        watchable.refresh(now + later);
        assert!(watchable.is_watched() && watchable.is_on_trial());
        assert_eq!(watchable.why_not(), Some(Reason::WatchBroken), "it is polled as well");
        watchable.prove();
        assert_eq!((watchable.is_watched(), watchable.is_on_trial(), watchable.why_not()), (true, false, None));

        watchable.stop(Reason::WatchBroken, now);
        watchable.refresh(now);
        watchable.speak(Protocol::Http1);
        assert_eq!((watchable.is_watched(), watchable.why_not()), (false, Some(Reason::NoHttp2)));
        let mut never = Watchable::never();
        never.refresh(now + later * 9);
        assert_eq!(never.why_not(), Some(Reason::PollChosen));
    }
}
