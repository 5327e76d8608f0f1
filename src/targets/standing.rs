//! How much of the shared limits a target may use.

/// A target's standing by its last round. Failing targets share the smaller queues, so that hanging ones can't starve
/// the healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Includes targets without a round yet.
    Healthy,
    /// The last round failed.
    Failing,
}

impl Standing {
    /// Whether the sub-limits for failing targets apply.
    pub fn is_failing(self) -> bool {
        self == Self::Failing
    }
}
