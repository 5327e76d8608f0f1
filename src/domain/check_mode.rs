//! How ksit learns what changes on a target.

use super::reason::Failure;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckMode {
    /// The target says so itself, when it happens.
    Watch,
    /// It is asked everything once an interval, for this reason.
    Poll(Failure),
}
