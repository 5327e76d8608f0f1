//! The client side of target clusters.
//!
//! ```text
//! kubeconfig ── vet ──▶ Connection ──▶ ClusterManager ── one Cluster a target ◀── Reflector ──▶ Snapshot, changed()
//!                                                           │                        │
//!                       connect (DNS, TCP, proxy, TLS) ── http (HTTP/2, or HTTP/1.1) ── list, watch (pages, lines, decoding)
//! ```
//!
//! Targets are not trusted: every wait has a deadline, every body a cap, and nothing that a target sends appears in a
//! message. Faults are values of [`Failure`](crate::domain::reason::Failure).

mod account_token;
mod address;
mod ask;
mod body;
mod cluster;
mod connect;
mod connection;
mod content;
mod decode;
mod due;
mod entries;
mod entry;
mod fault;
mod gap;
mod http;
mod http2;
mod job;
pub mod kubeconfig;
mod limits;
mod lines;
mod list;
mod listed;
mod live_token;
mod managed;
mod manager;
mod networks;
mod objects;
mod outbound;
mod parsed;
mod paths;
mod pem;
mod pool;
mod presented;
mod proxy;
mod reflector;
mod resolve;
mod retry_after;
mod standing;
mod strip_unused;
mod text;
mod tls;
mod validity;
mod wake_flag;
mod watchable;
mod wire;

pub use account_token::{NewToken, new_token};
pub use cluster::Cluster;
pub use connection::{Authority, ClientCertificate, Connection, Credential, Trusted};
pub use http::Protocol;
pub use limits::{Limits, Settings};
pub use live_token::LiveToken;
pub use manager::ClusterManager;
pub use outbound::{Outbound, OutboundError, Server};
pub use pem::certificates_of;
pub use reflector::{Change, Reflector};
pub use standing::Standing;
