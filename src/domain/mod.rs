//! Decisions, and nothing else.
//!
//! No I/O, no clock, no randomness, no Kubernetes client: facts come in as plain values, time comes in as a
//! parameter, and what should be done comes out. A test of anything in here needs no runtime.

pub mod component;
pub mod integrations;
pub mod keys;
pub mod reason;
pub mod snapshot;
