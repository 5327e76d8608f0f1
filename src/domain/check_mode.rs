//! How ksit detects changes on a target.

use super::reason::Failure;

/// How ksit learns of changes on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckMode {
    /// The target sends changes as they happen.
    Watch,
    /// Everything is fetched once per interval, for this reason.
    Poll(Failure),
}
