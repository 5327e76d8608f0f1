//! Carries messages between workers and the coordinator: one stream over TLS, with both ends authenticated.
//!
//! ```text
//! worker ─ Link ─ client ══ TLS pinned by the ShardMap, token in the call ══ server ─ auth ─> Incoming ─ coordinator
//! worker ─ Link ─────────────────────────── loopback, in one process ─────────────────────> Incoming ─ coordinator
//! ```
//!
//! This module authenticates senders, requires that they are members, and checks that messages are well-formed. The
//! coordinator decides whether to accept their content.

mod arrivals;
mod auth;
mod client;
mod codec;
mod link;
mod resources;
mod server;
mod tls;

#[cfg(test)]
mod tests;

pub use auth::AUDIENCE;
pub(crate) use auth::{AuthError, Authenticator, IsMember};
pub(crate) use client::read_token;
pub use client::{ConnectError, connect};
pub(crate) use link::{Incoming, Link, local};
pub(crate) use server::{Admission, serve};
pub(crate) use tls::TermCertificate;

/// Types generated from `reports.proto`.
#[allow(clippy::large_enum_variant, clippy::pedantic, clippy::unwrap_used, reason = "generated")]
mod wire {
    tonic::include_proto!("ksit.reports.v1");
}

/// Metadata key of the nonce, which distinguishes two processes of one Pod.
const NONCE: &str = "ksit-nonce";

/// Maximum size of a received message, in bytes. A report with a thousand components is below 400 kB.
const MAX_MESSAGE_SIZE: usize = 1 << 20;

/// Timeout of a handshake, and of the answer to a PING.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
