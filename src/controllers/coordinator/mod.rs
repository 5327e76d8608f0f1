//! The coordinator role: runs while this replica leads, and ends with the term. `domain::coordinator` decides; this
//! module feeds it with events and performs its effects.
//!
//! ```text
//! election ─> claim of the term ─> run_term ─┬─ event loop:   watches, messages, ticks ─> Coordinator ─> effects
//!                                            ├─ map requests: Leases and shard map, one request at a time
//!                                            ├─ writers:      statuses, Events, metadata repair, notifications
//!                                            └─ report service, Leases of other installations
//! ```

mod callers;
mod event_loop;
mod leader_term;
mod map_requests;
mod measure;
mod metadata_repair;
mod notices;
mod notifications;
mod objects;
mod other_installations;
mod publish;
mod series;
mod term_claim;
mod write_fence;

pub(crate) use leader_term::{CoordinatorConfig, CoordinatorContext, LeadError, lead};
pub(crate) use metadata_repair::{RepairQueue, run_repairs};
