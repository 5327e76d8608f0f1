//! ksit monitors the tools on many Kubernetes clusters from one hub, and reports in the status of custom resources
//! whether they work.
//!
//! A module uses only modules below it, and `hub`, `targets`, `reports` and `observability` don't use each other;
//! `tests/architecture` enforces both.
//!
//! ```text
//! cli                    one file per command: parses and validates the user's input
//!  ├─ ui                 the page: an index of the fleet, views, the JSON API, access
//!  │   ├─ lists          rows of clusters and problems, for commands and the page
//!  │   └─ history        changes of phases in a file, and availability
//!  └─ controllers        the roles, worker and coordinator, and the code that starts and stops them
//!      ├─ hub            talks to the hub: watches, Secrets, statuses, Events
//!      │   └─ api        the custom resources, and their conversion to and from the domain
//!      ├─ targets        talks to the clusters: kubeconfig, connection, HTTP, lists and watches
//!      ├─ receivers      sends notifications, by the rules of targets about addresses
//!      ├─ reports        carries the workers' reports to the coordinator: protocol, client and server
//!      └─ observability  metrics, logs, health endpoints
//!          └─ domain     used by all of them; decisions only: no I/O, no clock, no randomness
//! ```
//!
//! From a cluster's state to a status:
//!
//! ```text
//! Secret ─vet─> Connection ─list, watch─> Snapshot ─evaluate─> ToolVerdict ─History─> TargetVerdict
//!                                                                                          │ report
//! status on the hub <─rate limit─ queue <─if its meaning changed─ coordinator <────────────┘
//! ```
//!
//! Invariants:
//! 1. The operator only ever reads a target. `ksit target add` writes there, with the credentials of its user.
//! 2. No byte of a credential, and nothing from a target's responses except object names, gets into a status, an Event,
//!    a log or a metric.
//! 3. All statuses go through one queue; each write carries the resourceVersion that its decision was based on, and a
//!    term that never decreases.
//! 4. No lock is held across an await, except to serialise the requests of one target, and the making of
//!    one token. No task is detached: the first
//!    role to end ends the process. A panic in a target's task is contained and counted instead.
//! 5. Every queue is bounded or newest-wins.
//! 6. One bad target delays no other; one bad object causes a warning, not a dead watch.
//! 7. Leases are renewed on a dedicated thread, over dedicated connections.
//! 8. resourceVersions of the hub never decrease: if they do, everything is listed again.

// The standard macros panic on a closed pipe; use `cli/output.rs`.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod api;
pub mod cli;
mod clouds;
pub mod controllers;
pub mod domain;
pub mod history;
pub mod hub;
mod lists;
pub mod observability;
mod receivers;
pub mod reports;
pub mod targets;
pub mod ui;
