//! Connects a worker to the coordinator in another replica.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status, Streaming};

use super::link::{CAPACITY, Link};
use super::wire::CoordinatorMessage;
use super::wire::reports_client::ReportsClient;
use super::{MAX_MESSAGE_SIZE, NONCE, TIMEOUT, codec, tls};
use crate::domain::replica::Incarnation;

/// Why there is no link to the coordinator.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The flag is not set, or the token can't be sent in a header.
    #[error("--report-token-file: set it to the file with this Pod's token for the audience {}", super::AUDIENCE)]
    NoToken,
    /// The file can't be read.
    #[error("--report-token-file: {path}: {source}")]
    Token {
        /// As in the flag.
        path: String,
        /// Why it can't be read.
        source: std::io::Error,
    },
    /// The ShardMap was edited by hand, or is from another version.
    #[error("the coordinator's address or certificate in the ShardMap is invalid")]
    Contact,
    /// TCP or TLS failed; also for a certificate with another fingerprint.
    #[error("it can't be reached: {0}")]
    Unreachable(String),
    /// The coordinator's own reason: the token, or a sender that is no member.
    #[error("it refuses: {0}")]
    Refused(String),
    /// Connecting and the coordinator's answer together took too long.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

/// Reads the token that authenticates this Pod. The file is rotated in place, so it is read for every link.
pub async fn read_token(file: Option<&Path>) -> Result<SecretString, ConnectError> {
    let file = file.ok_or(ConnectError::NoToken)?;
    let path = || file.display().to_string();
    let text = tokio::fs::read_to_string(file).await.map_err(|source| ConnectError::Token { path: path(), source })?;
    Ok(SecretString::from(text.trim()))
}

/// Connects to `address` (host and port), whose certificate must have the given fingerprint.
///
/// # Errors
/// Fails if the coordinator can't be reached or authenticated, refuses the token, or does not answer within five
/// seconds.
pub async fn connect(
    address: &str,
    certificate_sha256: &str,
    token: SecretString,
    me: &Incarnation,
) -> Result<Link, ConnectError> {
    let (to_coordinator, outgoing) = mpsc::channel(CAPACITY);
    let messages = ReceiverStream::new(outgoing).map(codec::encode);
    let mut call = Request::new(messages);
    let header = |text: String| MetadataValue::try_from(text).map_err(|_| ConnectError::NoToken);
    let mut bearer = header(format!("Bearer {}", token.expose_secret()))?;
    bearer.set_sensitive(true);
    call.metadata_mut().insert("authorization", bearer);
    call.metadata_mut().insert(NONCE, header(me.nonce.to_string())?);
    let opening = async {
        let channel = dial(address, certificate_sha256).await?;
        let mut client = ReportsClient::new(channel).max_decoding_message_size(MAX_MESSAGE_SIZE);
        client.connect(call).await.map_err(|status| ConnectError::Refused(status.message().to_owned()))
    };
    let answers = timeout(TIMEOUT, opening).await.map_err(|_| ConnectError::TimedOut)??.into_inner();
    let (incoming, from_coordinator) = mpsc::channel(CAPACITY);
    let mut carrier = JoinSet::new();
    carrier.spawn(carry(answers, incoming));
    Ok(Link { to_coordinator, from_coordinator, _carrier: carrier })
}

async fn dial(address: &str, certificate_sha256: &str) -> Result<Channel, ConnectError> {
    let config = tls::client_config(certificate_sha256).map_err(|_| ConnectError::Contact)?;
    let tls = TlsConnector::from(Arc::new(config));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| ConnectError::Contact)?;
    let endpoint = endpoint.http2_keep_alive_interval(TIMEOUT).keep_alive_timeout(TIMEOUT).keep_alive_while_idle(true);
    let address = address.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, address) = (tls.clone(), address.clone());
        async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from("ksit").map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, tcp).await?))
        }
    });
    endpoint.connect_with_connector(connector).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        ConnectError::Unreachable(cause.unwrap_or_else(|| error.to_string()))
    })
}

async fn carry(mut answers: Streaming<CoordinatorMessage>, incoming: mpsc::Sender<crate::domain::report::ToWorker>) {
    let mut warned = false;
    loop {
        match answers.message().await {
            Ok(Some(answer)) => match codec::decode_answer(answer) {
                Ok(answer) => {
                    if incoming.send(answer).await.is_err() {
                        return;
                    }
                }
                Err(error) if !warned => {
                    warned = true;
                    tracing::warn!(%error, "ignoring an unreadable message of the coordinator");
                }
                Err(_) => {}
            },
            Ok(None) => return,
            Err(status) => return tracing::info!(why = why(&status), "the link to the coordinator ended"),
        }
    }
}

fn why(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
