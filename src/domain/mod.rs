//! Pure decisions, without I/O, clocks, randomness or a Kubernetes client.
//!
//! Facts come in as plain values, time as a parameter, and the effects to carry out are returned. No test in here needs
//! a runtime.

pub mod access;
pub(crate) mod aggregate;
pub mod assignment;
pub mod availability;
pub(crate) mod backoff;
pub mod check_mode;
pub mod claim;
pub mod component;
pub mod coordinator;
pub(crate) mod credential;
pub mod desired;
pub mod digest;
pub mod election;
pub(crate) mod escape;
pub(crate) mod evaluate;
pub mod expected;
pub(crate) mod first_check;
pub(crate) mod fit;
pub(crate) mod growth;
pub mod integrations;
mod judge;
pub mod keys;
pub mod maintenance;
pub mod managed;
pub mod member;
pub(crate) mod membership;
pub mod notify;
pub(crate) mod object_names;
pub mod outbox;
pub mod own_writes;
pub mod ownership;
pub(crate) mod places;
mod plan;
pub(crate) mod priority;
pub(crate) mod queries;
pub mod reason;
pub mod renewal;
pub mod replica;
pub mod report;
pub(crate) mod ring;
pub(crate) mod roll_up;
pub(crate) mod selector;
pub mod shard_map;
pub mod shards;
pub mod slot;
pub mod snapshot;
pub mod status;
pub(crate) mod unsent;
pub mod verdict;
pub(crate) mod version;
pub mod weights;
pub(crate) mod word;
