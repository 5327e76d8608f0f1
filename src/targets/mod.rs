//! Everything that talks to a target cluster.
