//! ksit watches the tools that run on many Kubernetes clusters, from one hub, and says on custom resources whether
//! they work.
//!
//! The house. Arrows point down, and the four rooms in the middle don't know each other; `tests/architecture.rs`
//! keeps it so.
//!
//! ```text
//! cli            one file a command: what the user typed, checked
//!  └─ controllers    the roles: worker, coordinator, and what starts and ends them
//!      ├─ hub            everything that talks to the hub: watches, Secrets, statuses, Events
//!      ├─ targets        everything that talks to a cluster: kubeconfig, connection, HTTP, lists and watches
//!      ├─ observability  metrics, logs, health endpoints
//!      └─ api            the custom resources; to and from the domain
//!          └─ domain         decisions only: no I/O, no clock, no randomness
//! ```
//!
//! How a cluster's state becomes a status:
//!
//! ```text
//! Secret ─vet─> Connection ─list, watch─> Snapshot ─evaluate─> ToolVerdict ─History─> TargetVerdict
//!                                                                                          │ report
//! status on the hub <─rate limit─ queue <─if it means something new─ coordinator <─────────┘
//! ```
//!
//! Invariants:
//! 1. The operator only ever reads a target. `ksit target add` writes there, with the credentials of its user.
//! 2. No byte of a credential, and none of a target's answer but the names of objects, gets into a status, an Event,
//!    a log or a metric.
//! 3. All statuses go through one queue; each write carries the resourceVersion that its decision was made from, and a
//!    term that never falls.
//! 4. No lock is held across an await but to serialise one target's own requests. No task is detached: the first role
//!    to end ends the process; a target's own task is the exception, contained and counted.
//! 5. Every queue is bounded or newest-wins.
//! 6. One bad target delays no other; one bad object is one warning, not a dead watch.
//! 7. A Lease is renewed on a thread of its own, which does nothing else, over connections of its own.
//! 8. What the hub answers is compared with what it said before: if resourceVersions fall, everything is listed anew.

// A closed pipe makes the library's macros panic: `cli/output.rs` prints.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod api;
pub mod cli;
pub mod controllers;
pub mod domain;
pub mod hub;
pub mod observability;
pub mod reports;
pub mod targets;
