//! Talks to the hub's API server.

mod accepted;
mod access;
mod addresses;
mod backoff;
mod cause;
mod clock;
mod coalescing_queue;
mod connections;
mod deadline;
mod duty_cycle;
mod election;
#[cfg(test)]
mod election_tests;
mod events;
mod field_manager;
mod finalizer;
mod first_checks;
mod foreign_lease;
mod history;
mod lease_board;
mod lenient;
mod map_store;
mod member_lease;
mod notifier_status;
mod prompt_client;
mod protobuf;
mod receiver_secrets;
mod relist;
mod resource_version;
mod secrets;
mod slot_label;
mod stateful_set;
mod status_queue;
mod status_writer;
mod token_request;
mod token_review;
mod user_review;
mod watch;
mod write_schedule;

pub(crate) use accepted::{accept_type, accept_window};
pub use access::{HubAccess, Silence};
pub(crate) use addresses::hub_addresses;
pub(crate) use backoff::conflict_pause;
pub(crate) use cause::{cause, is_absent, is_late, is_unknown_path, of_kubeconfig};
pub(crate) use clock::Clock;
pub(crate) use coalescing_queue::CoalescingQueue;
pub(crate) use deadline::with_deadline;
pub(crate) use duty_cycle::DutyCycle;
pub(crate) use election::{Election, ElectionError, Leadership};
pub(crate) use events::{EventSink, Transition, publish_events};
pub(crate) use finalizer::remove_legacy_finalizer;
pub(crate) use first_checks::{FirstChecks, Marked, Quarantined};
pub(crate) use foreign_lease::foreign_lease;
pub(crate) use history::History;
pub(crate) use lease_board::{LeaseBoard, watch_leases};
pub(crate) use lenient::Lenient;
pub(crate) use map_store::{MapStore, StoredMap, watch_map};
pub(crate) use member_lease::{LeaseLost, MemberLeases};
pub(crate) use notifier_status::write_notifier_status;
pub(crate) use prompt_client::{PROMPT_TIMEOUT, PromptClient, PromptError};
pub(crate) use receiver_secrets::read_receiver_secret;
pub(crate) use resource_version::order;
#[cfg(test)]
pub(crate) use secrets::encoded_secret;
pub(crate) use secrets::{
    KubeconfigSecret, Reading, SecretError, SecretMetadata, read_kubeconfig, watch_secrets, write_kubeconfig,
};
pub(crate) use slot_label::label_slot;
pub(crate) use stateful_set::StatefulSets;
pub(crate) use status_queue::{StatusKey, StatusQueue, StatusWrite};
pub(crate) use status_writer::{WriteOutcome, write_statuses};
pub(crate) use token_request::request_token;
pub(crate) use token_review::{Bearer, ReviewError, review_token};
pub(crate) use user_review::{UserReviewError, allowed_namespaces, may_list_all, review_user};
pub(crate) use watch::{Change, merge, watch};
