//! How workers and the coordinator talk: one stream over TLS, both ends proven.
//!
//! ```text
//! worker ─ Link ─ client ══ TLS pinned by the ShardMap, token in the call ══ server ─ auth ─> Incoming ─ coordinator
//! worker ─ Link ───────────────────────────── local, in one process ──────────────────────> Incoming ─ coordinator
//! ```
//!
//! Here a sender is authenticated, must be a member, and a message is checked for its form. Whether it is believed, the
//! coordinator says.

mod arrivals;
mod auth;
mod client;
mod codec;
mod link;
mod server;
mod tls;

#[cfg(test)]
mod tests;

pub use auth::{AUDIENCE, AuthError, Authenticator, IsMember};
pub use client::{ConnectError, connect, read_token};
pub use link::{Incoming, Link, local};
pub use server::{Admission, ServeError, serve};
pub use tls::TermCertificate;

/// As `reports.proto` has it.
#[allow(clippy::large_enum_variant, clippy::pedantic, clippy::unwrap_used, reason = "generated")]
mod wire {
    tonic::include_proto!("ksit.reports.v1");
}

/// Metadata that tells two processes of one Pod apart.
const NONCE: &str = "ksit-nonce";

/// Bytes of the largest message that is read. A report of a thousand components is below 400 kB.
const LARGEST_MESSAGE: usize = 1 << 20;

/// Time for a handshake, and for the answer to a PING.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
