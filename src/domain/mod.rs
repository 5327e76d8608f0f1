//! Pure decisions, without I/O, clocks, randomness or a Kubernetes client.
//!
//! Facts come in as plain values, time as a parameter, and the effects to carry out are returned. No test in here needs
//! a runtime.

pub mod aggregate;
pub mod assignment;
pub mod backoff;
pub mod check_mode;
pub mod claim;
pub mod component;
pub mod coordinator;
pub mod credential;
pub mod desired;
pub mod digest;
pub mod election;
pub mod escape;
pub mod evaluate;
pub mod expected;
pub mod first_check;
pub mod fit;
pub mod growth;
pub mod integrations;
mod judge;
pub mod keys;
pub mod member;
pub mod membership;
pub mod object_names;
pub mod outbox;
pub mod own_writes;
pub mod ownership;
pub mod places;
mod plan;
pub mod priority;
pub mod queries;
pub mod reason;
pub mod replica;
pub mod report;
pub mod ring;
pub mod roll_up;
pub mod selector;
pub mod shard_map;
pub mod shards;
pub mod slot;
pub mod snapshot;
pub mod status;
pub mod unsent;
pub mod verdict;
pub mod weights;
pub mod word;
