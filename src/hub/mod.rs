//! Everything that talks to the hub's API server.

mod access;
mod backoff;
mod clock;
mod connections;
mod election;
#[cfg(test)]
mod election_tests;
mod events;
mod field_manager;
mod finalizer;
mod first_checks;
mod foreign_lease;
mod half_speed;
mod history;
mod lease_board;
mod lenient;
mod mailbox;
mod map_store;
mod member_lease;
mod prompt_client;
mod protobuf;
mod relist;
mod secrets;
mod slot_label;
mod stateful_set;
mod status_queue;
mod status_writer;
mod token_review;
mod watch;
mod write_schedule;

pub use access::{HubAccess, Silence};
pub use clock::Clock;
pub use election::{Election, ElectionError, Seat};
pub use events::{EventSink, Transition, publish_events};
pub use finalizer::remove_legacy_finalizer;
pub use first_checks::{FirstCheck, FirstChecks, Marked, Quarantined};
pub use foreign_lease::lease_version;
pub use half_speed::HalfSpeed;
pub use history::History;
pub use lease_board::{LeaseBoard, watch_leases};
pub use lenient::Lenient;
pub use mailbox::{Mailbox, Urgency};
pub use map_store::{MapStore, StoredMap, watch_map};
pub use member_lease::{LeaseLost, MemberLeases};
pub use prompt_client::{PROMPT_TIMEOUT, PromptClient, PromptError};
#[cfg(test)]
pub use secrets::encoded_secret;
pub use secrets::{KubeconfigSecret, Reading, SecretError, SecretMetadata, read_kubeconfig, watch_secrets};
pub use slot_label::label_slot;
pub use stateful_set::StatefulSets;
pub use status_queue::{ObjectId, StatusQueue, StatusWrite};
pub use status_writer::{WriteOutcome, write_statuses};
pub use token_review::{Bearer, ReviewError, review_token};
pub use watch::{Change, Key, merge, watch};
