//! Everything that talks to the hub's API server.

mod events;
mod finalizer;
mod mailbox;
mod secrets;
mod slot_label;
mod status_writer;
mod watch;

pub use events::{EventSink, Transition, publish_events};
pub use finalizer::remove_legacy_finalizer;
pub use mailbox::Mailbox;
pub use secrets::{KubeconfigSecret, SecretError, read_kubeconfig};
pub use slot_label::label_slot;
pub use status_writer::{ObjectId, StatusQueue, StatusWrite, WriteOutcome, write_statuses};
pub use watch::{Change, Key, merge, watch};
