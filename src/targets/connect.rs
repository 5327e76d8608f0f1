//! From a [`Connection`] to an open TLS stream: resolve, check the addresses, dial, shake hands.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::Connection;
use super::kubeconfig::address_refused;
use super::tls;
use crate::domain::reason::{Failure, Reason};

/// A name with more addresses than this is dialled at the first ones only.
const MAX_ADDRESSES: usize = 6;

/// How long one address may be silent before the next one is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// Opens a stream, everything together within `deadline`.
pub(super) async fn connect(connection: &Connection, deadline: Duration) -> Result<TlsStream<TcpStream>, Failure> {
    timeout(deadline, open(connection)).await.unwrap_or_else(|_| {
        Err(Failure::new(
            Reason::TimedOut,
            format!(
                "{} did not complete a connection within {} s; check that the address is right and no firewall drops what ksit sends",
                connection.host_display(),
                deadline.as_secs_f32()
            ),
        ))
    })
}

async fn open(connection: &Connection) -> Result<TlsStream<TcpStream>, Failure> {
    let addresses = resolve(connection).await?;
    let stream = dial(connection, &addresses).await?;
    // Small requests and small answers: waiting to fill a packet only delays them.
    stream.set_nodelay(true).ok();
    TlsConnector::from(connection.tls().clone())
        .connect(connection.server_name().clone(), stream)
        .await
        .map_err(|error| tls::handshake_failure(&connection.host_display(), &error))
}

/// The addresses to dial. A name with one address that is refused is refused as a whole: else its owner could choose
/// when ksit meets the bad one.
async fn resolve(connection: &Connection) -> Result<Vec<SocketAddr>, Failure> {
    let server = connection.server();
    let addresses: Vec<SocketAddr> = match server.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, server.port)],
        Err(_) => lookup_host((server.host.as_str(), server.port)).await.map(Iterator::collect).unwrap_or_default(),
    };
    if addresses.is_empty() {
        return Err(Failure::new(
            Reason::NameNotResolved,
            format!("the name {} does not resolve; check server in the kubeconfig and the DNS of the hub", server.host),
        ));
    }
    match addresses.iter().find_map(|address| connection.objection(address.ip())) {
        Some(what) => Err(address_refused(&server.host, what)),
        None => Ok(addresses.into_iter().take(MAX_ADDRESSES).collect()),
    }
}

/// The first address that answers wins; the others get a little less patience than the kernel has.
async fn dial(connection: &Connection, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut attempts: FuturesUnordered<_> = addresses
        .iter()
        .zip(0_u32..)
        .map(|(address, turn)| async move {
            sleep(STAGGER * turn).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut last = None;
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error.kind()),
        }
    }
    Err(dial_failure(&connection.host_display(), last))
}

fn dial_failure(host: &str, kind: Option<io::ErrorKind>) -> Failure {
    let (reason, what) = match kind {
        Some(io::ErrorKind::ConnectionRefused) => {
            (Reason::ConnectFailed, "refuses connections; check that the API server runs and the port is right")
        }
        Some(io::ErrorKind::TimedOut) => {
            (Reason::TimedOut, "does not answer; check that the address is right and no firewall is between")
        }
        _ => (Reason::ConnectFailed, "can't be reached; check the address and the network between the hub and it"),
    };
    Failure::new(reason, format!("{host} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::address::Policy;
    use crate::targets::connection::{Credential, Server};
    use crate::targets::tls::Trust;

    /// As it would be after a kubeconfig was vetted whose name pointed elsewhere then.
    fn unvetted(url: &str, policy: Policy) -> Connection {
        let credential = Credential::Token("t".to_owned().into());
        Connection::build(Server::parse(url).unwrap(), None, Trust::Nobody, credential, Some(policy)).unwrap()
    }

    #[tokio::test]
    async fn a_name_that_was_turned_to_a_refused_address_is_not_dialled() {
        let failure = resolve(&unvetted("https://localhost:6443", Policy::default())).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            "AddressRefused: server localhost is a loopback address, which ksit does not dial for a target; give the cluster's own address"
        );
        let allowed = Policy { allow_loopback: true, ..Policy::default() };
        assert!(!resolve(&unvetted("https://localhost:6443", allowed)).await.unwrap().is_empty());
    }
}
