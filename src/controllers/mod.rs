//! The roles of a replica, and what keeps them running.
//!
//! ```text
//! hub watches ─> worker ─ one task a target ─> reports ─> coordinator ─> status queue ─> hub
//! ```

pub mod coordinator;
pub mod descriptors;
pub mod error;
mod lease_thread;
mod memory;
pub mod operator;
mod roles;
pub mod worker;
