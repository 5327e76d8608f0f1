//! What a round says of a target that is at fault, and what it costs.
