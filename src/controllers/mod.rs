//! The roles of a replica, and the code that starts and stops them.
//!
//! ```text
//! hub watches ─> worker ─ one task per target ─> reports ─> coordinator ─> status queue ─> hub
//! ```

pub(crate) mod coordinator;
pub mod descriptors;
pub(crate) mod error;
mod lease_thread;
mod memory;
pub(crate) mod notify;
pub mod operator;
mod roles;
pub(crate) mod typed;
mod watched;
pub mod worker;
