//! Decides whether a target is watched or polled, and why it is polled.
//!
//! ```text
//! watched ── stop ──> polled ── watch_again later ──> on trial ── all watches delivered ──> watched
//!                       ^── stop ─────────────────────────┘
//! ```
//!
//! On trial, watches are open and everything is still fetched every round.

use std::time::Duration;

use tokio::time::Instant;

use super::entry::WatchEnd;
use super::http::Protocol;
use super::objects::BadPage;
use crate::domain::reason::Reason;

/// A watch that ends sooner was cut. After [`MAX_SHORT_LIVES`] in a row the target is polled.
pub(super) const SHORT_LIFE: Duration = Duration::from_secs(5);
const MAX_SHORT_LIVES: u32 = 3;

#[derive(Default)]
pub(super) struct Watchable {
    short_lives: u32,
    polled: Option<Polled>,
}

/// Why the target is polled, and when watches are retried.
#[derive(Clone, Copy)]
struct Polled {
    reason: Reason,
    retry: Retry,
}

/// When watches are opened again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// Not while the cause lasts.
    Never,
    At(Instant),
    /// They are open, and on trial.
    OnTrial,
}

impl Watchable {
    /// Polled by configuration.
    pub(super) fn never() -> Self {
        Self { short_lives: 0, polled: Some(Polled { reason: Reason::PollChosen, retry: Retry::Never }) }
    }

    /// Whether watches may be opened.
    pub(super) fn is_watched(&self) -> bool {
        self.polled.is_none() || self.is_on_trial()
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.polled.is_some_and(|polled| polled.retry == Retry::OnTrial)
    }

    /// Why the target is polled, if it is.
    pub(super) fn poll_reason(&self) -> Option<Reason> {
        self.polled.map(|polled| polled.reason)
    }

    /// Starts the trial when it is due.
    pub(super) fn refresh(&mut self, now: Instant) {
        if let Some(Polled { retry: retry @ Retry::At(_), .. }) = &mut self.polled
            && matches!(retry, Retry::At(at) if *at <= now)
        {
            *retry = Retry::OnTrial;
        }
    }

    pub(super) fn stop(&mut self, reason: Reason, retry_at: Instant) {
        *self = Self { short_lives: 0, polled: Some(Polled { reason, retry: Retry::At(retry_at) }) };
    }

    /// Ends the trial: every watch has delivered something since it was opened.
    pub(super) fn pass_trial(&mut self) {
        if self.is_on_trial() {
            self.polled = None;
        }
    }

    /// Polls over HTTP/1.1, as watches need the streams of HTTP/2.
    pub(super) fn set_protocol(&mut self, protocol: Protocol) {
        match (protocol, self.poll_reason()) {
            (Protocol::Http1, _) if self.is_watched() => {
                self.polled = Some(Polled { reason: Reason::NoHttp2, retry: Retry::Never });
            }
            (Protocol::Http2, Some(Reason::NoHttp2)) => self.polled = None,
            _ => {}
        }
    }

    /// Records watches that ended together. Returns the reason to poll if too many have.
    pub(super) fn record_ends(&mut self, ends: &[WatchEnd]) -> Option<Reason> {
        let bad = ends.iter().find_map(|end| end.bad);
        let is_short = bad.is_some() || ends.iter().all(|end| end.lifetime < SHORT_LIFE);
        self.short_lives = if is_short { self.short_lives + 1 } else { 0 };
        (self.short_lives >= MAX_SHORT_LIVES).then_some(match bad {
            None | Some(BadPage::Ended) => Reason::WatchBroken,
            Some(bad) => bad.reason(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(seconds: u64, bad: Option<BadPage>) -> WatchEnd {
        WatchEnd { lifetime: Duration::from_secs(seconds), bad }
    }

    #[test]
    fn watches_that_end_early_or_are_invalid_stop_watching() {
        let mut watchable = Watchable::default();
        let mut after = |ends: &[WatchEnd]| watchable.record_ends(ends);
        assert_eq!([after(&[end(1, None)]), after(&[end(1, None)]), after(&[end(60, None)])], [None; 3], "one lasted");
        assert_eq!([after(&[end(1, None)]), after(&[end(1, None)])], [None; 2]);
        assert_eq!(after(&[end(1, None), end(2, None)]), Some(Reason::WatchBroken));

        for (bad, reason) in [
            (BadPage::TooLarge, Reason::AnswerTooLarge),
            (BadPage::Name, Reason::InvalidAnswer),
            (BadPage::Invalid, Reason::InvalidAnswer),
        ] {
            let mut watchable = Watchable::default();
            let mut after = || watchable.record_ends(&[end(600, None), end(600, Some(bad))]);
            assert_eq!([after(), after(), after()], [None, None, Some(reason)], "however long it lasted");
        }
    }

    #[test]
    fn stopped_watches_are_retried_on_trial() {
        let (mut watchable, now, later) = (Watchable::default(), Instant::now(), Duration::from_secs(300));
        watchable.stop(Reason::WatchBroken, now + later);
        watchable.refresh(now + later / 2);
        watchable.pass_trial();
        assert_eq!((watchable.is_watched(), watchable.poll_reason()), (false, Some(Reason::WatchBroken)));
        watchable.refresh(now + later);
        assert!(watchable.is_watched() && watchable.is_on_trial());
        assert_eq!(watchable.poll_reason(), Some(Reason::WatchBroken), "it is polled as well");
        watchable.pass_trial();
        assert_eq!((watchable.is_watched(), watchable.is_on_trial(), watchable.poll_reason()), (true, false, None));

        watchable.stop(Reason::WatchBroken, now);
        watchable.refresh(now);
        watchable.set_protocol(Protocol::Http1);
        assert_eq!((watchable.is_watched(), watchable.poll_reason()), (false, Some(Reason::NoHttp2)));
        let mut never = Watchable::never();
        never.refresh(now + later * 9);
        assert_eq!(never.poll_reason(), Some(Reason::PollChosen));
    }
}
