//! Load tests of ksit: scenarios, measures, and checkers that prove what happened from outside the program.
//!
//! ```text
//! scenario ─> run: hub and replicas (testkit), clusters (simulator, or real) ─> Report
//!              ├─ limit    the bare-transport baseline beside it
//!              ├─ checker  invariants, from the hub's audit log
//!              └─ truth    statuses on the hub, compared with the state of the clusters
//! page: `ksit ui` on a hub whose statuses are written here
//! ```
//!
//! Must not know the code of ksit (its command line and its resources only), nor xtask.

#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod checker;
pub mod cli;
mod limit;
mod page;
pub mod run;
pub mod truth;
