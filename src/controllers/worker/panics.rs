//! Panics at one target, and when they are more than a passing fault.

use crate::domain::reason::{Failure, Reason};

/// Panics in a row after which a target is left alone for longer.
pub(super) const QUARANTINE_AFTER: u32 = 3;

#[derive(Default)]
pub(super) struct Panics {
    in_a_row: u32,
    /// There was one since the last round began, in it or after it.
    is_new: bool,
}

impl Panics {
    pub(super) fn round_begins(&mut self) {
        if !std::mem::take(&mut self.is_new) {
            self.in_a_row = 0;
        }
    }

    /// One more, and the outcome that it is.
    pub(super) fn add(&mut self) -> Failure {
        *self = Self { in_a_row: self.in_a_row.saturating_add(1), is_new: true };
        match self.in_a_row {
            ..QUARANTINE_AFTER => {
                Failure::new(Reason::InvalidAnswer, "reading its answers crashed; this is a bug in ksit")
            }
            _ => {
                Failure::new(Reason::Quarantined, "reading its answers crashed repeatedly; it is tried more rarely now")
            }
        }
    }

    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// As many failed rounds as the target is to wait for, which begins to back off at once.
    pub(super) fn as_failures(&self, threshold: u32) -> u32 {
        if self.is_new { threshold + self.in_a_row } else { 0 }
    }
}
