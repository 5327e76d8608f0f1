//! Connections to servers that a user of the hub names and that are no targets: the receivers of notifications.
//!
//! The rules about addresses are those for targets, and are asked about every address that a name resolves to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::address::Policy;
use super::connect::dial;
use super::proxy::Transport;
use super::resolve::{LookupError, Resolver};
use super::standing::Standing;
use super::tls::{Trust, http1_config};
use crate::domain::reason::Reason;

/// Opens connections under one policy. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// `None` for the user's own machine, where no address is refused.
    policy: Option<Policy>,
    resolver: Arc<Resolver>,
}

/// A server, and how it is reached.
#[derive(Clone, Debug)]
pub struct Server<'a> {
    /// A name or an address, without brackets.
    pub host: &'a str,
    /// Port of the server.
    pub port: u16,
    /// TLS, or plain text.
    pub encrypted: bool,
    /// CA certificates in PEM, trusted instead of the public ones.
    pub ca: Option<&'a [u8]>,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundError {
    /// The address is refused, as a noun (`a loopback address`).
    Refused(&'static str),
    /// The name has no addresses.
    NotResolved,
    /// Nothing accepts connections there.
    ConnectFailed,
    /// Not within the time.
    TimedOut,
    /// The CA certificates can't be used.
    NoCa,
    /// The certificate is not trusted, is for another name, or is not valid now.
    Certificate(Reason),
    /// No TLS can be agreed on.
    TlsFailed,
}

impl Outbound {
    /// For the process: `policy` is the operator's.
    pub fn new(policy: Option<Policy>) -> Self {
        Self { policy, resolver: Arc::default() }
    }

    /// A connection to the server, after at most `deadline`.
    ///
    /// # Errors
    /// The address is refused, or the server can't be reached or is not trusted.
    pub async fn open(&self, server: &Server<'_>, deadline: Duration) -> Result<Transport, OutboundError> {
        let latest = Instant::now() + deadline;
        let addresses = self.resolve(server, latest).await?;
        let opened = timeout_at(latest, open(server, &addresses)).await;
        opened.unwrap_or(Err(OutboundError::TimedOut))
    }

    async fn resolve(&self, server: &Server<'_>, latest: Instant) -> Result<Vec<SocketAddr>, OutboundError> {
        let Server { host, port, .. } = *server;
        let refused =
            |objection: Option<&'static str>| objection.map_or(Ok(()), |why| Err(OutboundError::Refused(why)));
        refused(self.policy.as_ref().and_then(|policy| policy.server_objection(host, true)))?;
        let found = match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
            Err(_) => self.resolver.resolve(host, port, Standing::Failing, latest).await,
        };
        let addresses = match found {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Err(LookupError::TimedOut | LookupError::NotStarted) => return Err(OutboundError::TimedOut),
            Ok(_) | Err(LookupError::Failed(_)) => return Err(OutboundError::NotResolved),
        };
        // As for targets: one refused address refuses the name.
        let objection =
            |policy: &Policy| addresses.iter().find_map(|address| policy.resolved_objection(host, address.ip()));
        refused(self.policy.as_ref().and_then(objection))?;
        Ok(addresses)
    }
}

async fn open(server: &Server<'_>, addresses: &[SocketAddr]) -> Result<Transport, OutboundError> {
    let stream: TcpStream = dial(addresses).await.map_err(|_| OutboundError::ConnectFailed)?;
    stream.set_nodelay(true).ok();
    if !server.encrypted {
        return Ok(Transport::Left(stream));
    }
    let trust = match server.ca {
        None => Trust::Public,
        Some(bundle) => Trust::roots(bundle, "ca").map_err(|_| OutboundError::NoCa)?.0,
    };
    let config = http1_config(&trust).ok_or(OutboundError::NoCa)?;
    let name = ServerName::try_from(server.host.trim_end_matches('.').to_owned());
    let name = name.map_err(|_| OutboundError::TlsFailed)?;
    let stream =
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| match super::tls::handshake_failure(
            server.host,
            &trust,
            &error,
        )
        .reason
        {
            Reason::TlsFailed => OutboundError::TlsFailed,
            reason => OutboundError::Certificate(reason),
        })?;
    Ok(Transport::Right(Box::new(stream)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(policy: Policy, host: &str) -> Option<OutboundError> {
        let server = Server { host, port: 1, encrypted: false, ca: None };
        Outbound::new(Some(policy)).open(&server, Duration::from_secs(5)).await.err()
    }

    #[tokio::test]
    async fn addresses_that_no_target_may_have_are_refused() {
        let hub: IpAddr = "10.96.0.1".parse().unwrap();
        let policy = || Policy { hub_addresses: vec![hub].into(), ..Policy::default() };
        for (host, why) in [
            ("127.0.0.1", "a loopback address"),
            ("localhost", "a loopback address"),
            ("::1", "a loopback address"),
            ("2130706433", "an IP address in an unusual spelling"),
            ("169.254.169.254", "a cloud's metadata address"),
            ("10.96.0.1", "an address of the hub"),
        ] {
            assert_eq!(refused(policy(), host).await, Some(OutboundError::Refused(why)), "{host}");
        }
    }

    #[tokio::test]
    async fn networks_of_the_operator_hold() {
        let networks = ["!192.0.2.0/24"].into_iter().map(|rule| rule.parse().unwrap()).collect();
        let found = refused(Policy { networks, ..Policy::default() }, "192.0.2.1").await;
        assert_eq!(found, Some(OutboundError::Refused("among what --target-networks refuses")));
    }

    #[tokio::test]
    async fn loopback_is_dialled_if_the_operator_allows_it() {
        let policy = Policy { allow_loopback: true, ..Policy::default() };
        assert_eq!(refused(policy, "localhost").await, Some(OutboundError::ConnectFailed));
    }
}
