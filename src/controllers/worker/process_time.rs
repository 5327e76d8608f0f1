//! The clock of [`Overdue`](crate::domain::outbox::Overdue).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Time since the process started.
pub(super) fn since_start() -> Duration {
    START.elapsed()
}
