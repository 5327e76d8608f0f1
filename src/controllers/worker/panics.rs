//! Counts the panics of one target in a row, and quarantines it after several.

use crate::domain::reason::{Failure, Reason};

/// Panics in a row after which a target is quarantined.
pub(super) const QUARANTINE_AFTER: u32 = 3;

#[derive(Default)]
pub(super) struct Panics {
    in_a_row: u32,
    /// A panic happened since the last round began, in it or after it.
    is_new: bool,
}

impl Panics {
    pub(super) fn round_begins(&mut self) {
        if !std::mem::take(&mut self.is_new) {
            self.in_a_row = 0;
        }
    }

    /// Counts a panic and returns the failure to report for it.
    pub(super) fn add(&mut self) -> Failure {
        *self = Self { in_a_row: self.in_a_row.saturating_add(1), is_new: true };
        match self.in_a_row {
            ..QUARANTINE_AFTER => {
                Failure::new(Reason::InvalidAnswer, "reading its answers crashed; this is a bug in ksit")
            }
            _ => Failure::new(
                Reason::Quarantined,
                "reading its answers crashed repeatedly; it is checked less often now",
            ),
        }
    }

    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// The panics as failed rounds beyond `threshold`, so that the back-off starts with the first panic.
    pub(super) fn as_failures(&self, threshold: u32) -> u32 {
        if self.is_new { threshold + self.in_a_row } else { 0 }
    }
}
