//! Serves links from authenticated workers to the coordinator.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use prost::Message;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::arrivals::{Place, arrivals};
use super::auth::{AuthError, Authenticator, IsMember};
use super::link::{CAPACITY, Incoming};
use super::tls::TermCertificate;
use super::wire::reports_server::{Reports, ReportsServer};
use super::wire::{CoordinatorMessage, WorkerMessage};
use super::{MAX_MESSAGE_SIZE, NONCE, TIMEOUT, codec};
use crate::domain::replica::Incarnation;

const SECOND: Duration = Duration::from_secs(1);

/// Streams per connection; a worker needs one.
const MAX_STREAMS: u32 = 2;

/// Rate limit of messages per worker and second; the others wait in the worker. Reports of ten thousand clusters that
/// all change at once take five seconds.
const MESSAGES_PER_SECOND: u32 = 2_000;

/// Time to wait for the Lease of a replica that has just started: it may connect before its Lease shows up here.
const LEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval at which the Lease is looked up.
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Admission of callers.
pub struct Admission {
    /// Authenticates a caller by its token.
    pub auth: Authenticator,
    /// Authorises it by its Lease or the map.
    pub is_member: IsMember,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the certificate can't be used: {0}")]
    Certificate(#[from] rustls::Error),
    #[error("the report service ended: {0}")]
    Ended(#[from] tonic::transport::Error),
}

/// Serves until dropped. Messages go to `incoming`; while it is full, workers wait.
pub async fn serve(
    listener: TcpListener,
    certificate: TermCertificate,
    admission: Admission,
    incoming: mpsc::Sender<Incoming>,
) -> Result<(), ServeError> {
    let tls = Arc::new(certificate.server_config()?);
    let service = ReportsServer::new(ReportService { admission, incoming }).max_decoding_message_size(MAX_MESSAGE_SIZE);
    Server::builder()
        .http2_keepalive_interval(Some(TIMEOUT))
        .http2_keepalive_timeout(Some(TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(service)
        .serve_with_incoming(arrivals(listener, tls))
        .await?;
    Ok(())
}

struct ReportService {
    admission: Admission,
    incoming: mpsc::Sender<Incoming>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Reports for ReportService {
    type ConnectStream = Answers;

    async fn connect(&self, request: Request<Streaming<WorkerMessage>>) -> Result<Response<Answers>, Status> {
        let sender = Arc::new(self.sender(request.metadata()).await?);
        if let Some(place) = request.extensions().get::<Arc<Place>>() {
            place.admit();
        }
        tracing::info!(replica = %sender.name, "worker connected");
        let (replies, answers) = mpsc::channel(CAPACITY);
        let mut carrier = JoinSet::new();
        let member = Member { process: sender, is_member: self.admission.is_member.clone() };
        carrier.spawn(carry(request.into_inner(), member, self.incoming.clone(), replies));
        // Each ends the other: dropping the answers aborts the carrier, and the end of the carrier ends the answers.
        let answers = ReceiverStream::new(answers).map(codec::encode_answer).map(Ok);
        let answers = answers.take_until(async move { carrier.join_next().await });
        Ok(Response::new(Box::pin(answers)))
    }
}

impl ReportService {
    async fn sender(&self, metadata: &MetadataMap) -> Result<Incarnation, Status> {
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let token = text("authorization").and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Status::unauthenticated("a token is missing"))?;
        let nonce = text(NONCE).filter(|nonce| nonce.len() <= 64).unwrap_or_default();
        let sender = match self.admission.auth.pod(SecretString::from(token)).await {
            Ok(pod) => Incarnation::new(pod.name, pod.uid, nonce),
            Err(AuthError::Refused(why)) => return Err(Status::unauthenticated(why)),
            Err(AuthError::Unavailable(why)) => return Err(Status::unavailable(why)),
        };
        let lease_seen = async {
            while !(self.admission.is_member)(&sender) {
                sleep(LEASE_POLL_INTERVAL).await;
            }
        };
        match timeout(LEASE_TIMEOUT, lease_seen).await {
            Ok(()) => Ok(sender),
            Err(_) => Err(Status::permission_denied("this process holds no Lease of a replica")),
        }
    }
}

struct Member {
    process: Arc<Incarnation>,
    is_member: IsMember,
}

async fn carry(
    mut messages: Streaming<WorkerMessage>,
    Member { process: sender, is_member }: Member,
    incoming: mpsc::Sender<Incoming>,
    replies: mpsc::Sender<crate::domain::report::ToWorker>,
) {
    let mut warned = false;
    let (mut window, mut received) = (Instant::now(), 0);
    loop {
        if window.elapsed() >= SECOND {
            (window, received) = (Instant::now(), 0);
        }
        if received >= MESSAGES_PER_SECOND {
            sleep_until(window + SECOND).await;
            continue;
        }
        received += 1;
        let message = tokio::select! {
            message = messages.message() => message,
            // The term has ended, which tonic's tasks don't notice.
            () = incoming.closed() => break,
        };
        let Ok(Some(message)) = message else { break };
        if !is_member(&sender) {
            tracing::warn!(replica = %sender.name, "closing the link of a worker that is no longer a member");
            break;
        }
        let bytes = message.encoded_len();
        match codec::decode(message, &sender.name) {
            Ok(message) => {
                let message = Incoming { sender: sender.clone(), message, bytes, replies: replies.clone() };
                if incoming.send(message).await.is_err() {
                    return;
                }
            }
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(replica = %sender.name, %error, "ignoring an unreadable message of a worker");
            }
            Err(_) => {}
        }
    }
    tracing::info!(replica = %sender.name, "worker disconnected");
}
