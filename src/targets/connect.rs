//! Opens the TLS stream of a [`Connection`]: resolve, check the addresses, dial, handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::Connection;
use super::fault::{is_out_of_descriptors, no_descriptor};
use super::kubeconfig::address_refused;
use super::proxy::Transport;
use super::resolve::{LookupError, Resolver};
use super::standing::Standing;
use super::tls;
use crate::domain::reason::{Failure, Reason};

/// Upper bound of addresses dialled per name.
const MAX_ADDRESSES: usize = 6;

/// Time after which the next address is tried in parallel (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// Opens a stream; all steps together take at most `deadline`.
pub(super) async fn connect(
    connection: &Connection,
    resolver: &Resolver,
    standing: Standing,
    deadline: Duration,
) -> Result<TlsStream<Transport>, Failure> {
    let latest = Instant::now() + deadline;
    let timed_out = || {
        Failure::new(
            Reason::TimedOut,
            format!(
                "{} did not complete a connection in time; check that the address is right and no firewall drops what ksit sends",
                connection.dialled()
            ),
        )
    };
    let addresses = resolve(connection, resolver, standing, latest).await?;
    let addresses = addresses.ok_or_else(timed_out)?;
    timeout_at(latest, open(connection, &addresses)).await.unwrap_or_else(|_| Err(timed_out()))
}

async fn open(connection: &Connection, addresses: &[SocketAddr]) -> Result<TlsStream<Transport>, Failure> {
    let stream = dial(addresses).await.map_err(|NotDialled { last, is_short }| {
        let host = connection.dialled();
        if is_short { no_descriptor(&host) } else { dial_failure(&host, last) }
    })?;
    // Requests are small: Nagle's algorithm would only delay them.
    stream.set_nodelay(true).ok();
    let stream = match connection.proxy() {
        Some(proxy) => proxy.tunnel(stream, connection.server(), connection.trust()).await?,
        None => Transport::Left(stream),
    };
    TlsConnector::from(connection.tls().clone())
        .connect(connection.server_name().clone(), stream)
        .await
        .map_err(|error| tls::handshake_failure(&connection.host_display(), connection.trust(), &error))
}

/// The addresses to dial: the proxy's, if there is one, which itself resolves the server's name. `None` if the resolver
/// did not answer in time. A name with one refused address is refused entirely: otherwise its owner could choose when
/// ksit dials the bad one.
async fn resolve(
    connection: &Connection,
    resolver: &Resolver,
    standing: Standing,
    latest: Instant,
) -> Result<Option<Vec<SocketAddr>>, Failure> {
    let (host, port) = match connection.proxy() {
        Some(proxy) => (proxy.host(), proxy.port()),
        None => (connection.server().host.as_str(), connection.server().port),
    };
    let found = match host.parse::<IpAddr>() {
        Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
        Err(_) => resolver.resolve(host, port, standing, latest).await,
    };
    let addresses = match found {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Err(LookupError::TimedOut) => return Ok(None),
        Err(LookupError::NotStarted) => return Err(lookup_not_started(host)),
        Err(LookupError::Failed(error)) if is_out_of_descriptors(&error) || !can_open_files() => {
            return Err(no_descriptor(&connection.dialled()));
        }
        Ok(_) | Err(LookupError::Failed(_)) => return Err(not_resolved(host)),
    };
    match addresses.iter().find_map(|address| connection.objection(address.ip())) {
        Some(what) => Err(address_refused(host, what)),
        None => Ok(Some(addresses.into_iter().take(MAX_ADDRESSES).collect())),
    }
}

/// Detects descriptor exhaustion: without one, the system's resolver reports every name as unknown.
fn can_open_files() -> bool {
    std::fs::File::open("/dev/null").err().is_none_or(|error| !is_out_of_descriptors(&error))
}

fn not_resolved(host: &str) -> Failure {
    Failure::new(
        Reason::NameNotResolved,
        format!("the name {host} does not resolve; check server in the kubeconfig and the DNS of the hub"),
    )
}

/// A fault of the replica, not of the target.
fn lookup_not_started(host: &str) -> Failure {
    Failure::new(
        Reason::TooManyLookups,
        format!("the name {host} was not looked up: lookups of other names hang; check the DNS of the hub"),
    )
}

/// No address accepts a connection.
pub(super) struct NotDialled {
    last: Option<io::ErrorKind>,
    /// This process has no file descriptor left.
    is_short: bool,
}

/// The first address that connects wins. The next one is tried when the previous has failed, or after [`STAGGER`].
pub(super) async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, NotDialled> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let (mut last, mut is_short) = (None, false);
    loop {
        attempts.extend(waiting.next().map(TcpStream::connect));
        let failed = tokio::select! {
            Some(attempt) = attempts.next() => attempt,
            () = sleep(STAGGER), if waiting.len() > 0 => continue,
            else => break,
        };
        match failed {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                is_short |= is_out_of_descriptors(&error);
                last = Some(error.kind());
            }
        }
    }
    Err(NotDialled { last, is_short })
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
    use crate::targets::connection::{Credential, Route, Server};
    use crate::targets::tls::Trust;

    /// A connection whose name resolved elsewhere when the kubeconfig was vetted.
    fn unvetted(url: &str, policy: Policy) -> Connection {
        let credential = Credential::from(secrecy::SecretString::from("t"));
        let route = Route { policy: Some(policy), proxy: None };
        Connection::build(Server::parse(url).unwrap(), None, Trust::Anyone, credential, route).unwrap()
    }

    /// Every lookup of the process waits for a server that doesn't answer.
    #[tokio::test]
    async fn a16_lookups_that_did_not_start_blame_no_target() {
        let (answer, silence) = std::sync::mpsc::channel::<()>();
        let silence = std::sync::Mutex::new(silence);
        let resolver = Resolver::new(move |_, _| {
            drop(silence.lock().map(|silence| silence.recv()));
            Ok(Vec::new())
        });
        let named = |number: u32| unvetted(&format!("https://c{number}.example:6443"), Policy::default());
        let dialled = (0..100).map(|number| {
            let (connection, resolver) = (named(number), &resolver);
            async move {
                connect(&connection, resolver, Standing::Healthy, Duration::from_millis(300)).await.unwrap_err().reason
            }
        });
        let reasons = futures::future::join_all(dialled).await;
        let count = |wanted| reasons.iter().filter(|reason| **reason == wanted).count();
        assert_eq!((count(Reason::TimedOut), count(Reason::TooManyLookups)), (64, 36));
        // An IP address needs no lookup.
        let refused =
            connect(&unvetted("https://192.0.2.1:1", Policy::default()), &resolver, Standing::Healthy, Duration::ZERO)
                .await;
        assert_ne!(refused.unwrap_err().reason, Reason::TooManyLookups);
        drop(answer);
    }

    /// RFC 8305: the next attempt starts as soon as the previous has failed.
    #[tokio::test]
    async fn dial_skips_refusing_addresses_at_once() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut addresses = vec![closed.local_addr().unwrap(); 40];
        addresses.push(open.local_addr().unwrap());
        let connection = unvetted("https://127.0.0.1:6443", Policy::default());
        let started = Instant::now();
        assert!(dial(&addresses).await.is_ok());
        assert!(started.elapsed() < STAGGER * 20, "{:?}", started.elapsed());
        let refused = super::open(&connection, &addresses[..40]).await.unwrap_err();
        assert!(refused.message.contains("refuses connections"), "{refused}");
    }

    /// The time left differs from round to round.
    #[tokio::test]
    async fn connect_timeout_message_is_independent_of_the_time_left() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", silent.local_addr().unwrap());
        let allowed = Policy { allow_loopback: true, ..Policy::default() };
        let (connection, resolver) = (unvetted(&url, allowed), Resolver::default());
        let mut failures = Vec::new();
        for milliseconds in [20, 33] {
            let deadline = Duration::from_millis(milliseconds);
            failures.push(connect(&connection, &resolver, Standing::Healthy, deadline).await.unwrap_err());
        }
        assert_eq!((failures[0].reason, &failures[0]), (Reason::TimedOut, &failures[1]));
    }

    #[tokio::test]
    async fn name_rebound_to_a_refused_address_is_not_dialled() {
        let resolved = async |connection: Connection| {
            let latest = Instant::now() + Duration::from_secs(10);
            resolve(&connection, &Resolver::default(), Standing::Healthy, latest).await
        };
        let failure = resolved(unvetted("https://localhost:6443", Policy::default())).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            "AddressRefused: server localhost is a loopback address, which ksit does not dial for a target; give the cluster's own address"
        );
        let allowed = Policy { allow_loopback: true, ..Policy::default() };
        assert!(resolved(unvetted("https://localhost:6443", allowed)).await.unwrap().is_some());
    }
}
