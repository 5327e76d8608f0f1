//! The coordinator's end: takes links from workers that prove who they are.

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
use super::link::{Incoming, WAITING};
use super::tls::TermCertificate;
use super::wire::reports_server::{Reports, ReportsServer};
use super::wire::{CoordinatorMessage, WorkerMessage};
use super::{LARGEST_MESSAGE, NONCE, PATIENCE, codec};
use crate::domain::replica::Incarnation;

const SECOND: Duration = Duration::from_secs(1);

/// A worker needs one.
const STREAMS: u32 = 2;

/// Messages taken from one worker in a second; what is more waits in the worker. Ten thousand clusters that all change
/// at once are told of in five seconds.
const MESSAGES_A_SECOND: u32 = 2_000;

/// A replica that has just started may dial before its Lease is seen here.
const WAIT_FOR_LEASE: Duration = Duration::from_secs(2);

/// Between two looks for it.
const LOOK_FOR_LEASE: Duration = Duration::from_millis(50);

/// Admission of callers.
pub struct Admission {
    /// By its token.
    pub auth: Authenticator,
    /// By its Lease, or by the map.
    pub is_member: IsMember,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the certificate can't be used: {0}")]
    Certificate(#[from] rustls::Error),
    #[error("the report service ended: {0}")]
    Ended(#[from] tonic::transport::Error),
}

/// Serves until it is dropped. What workers say goes to `incoming`; while that is full they wait.
pub async fn serve(
    listener: TcpListener,
    certificate: TermCertificate,
    admission: Admission,
    incoming: mpsc::Sender<Incoming>,
) -> Result<(), ServeError> {
    let tls = Arc::new(certificate.server_config()?);
    let service = ReportsServer::new(ReportService { admission, incoming }).max_decoding_message_size(LARGEST_MESSAGE);
    Server::builder()
        .http2_keepalive_interval(Some(PATIENCE))
        .http2_keepalive_timeout(Some(PATIENCE))
        .max_concurrent_streams(STREAMS)
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
        tracing::info!(replica = %sender.name, "a worker reports");
        let (replies, answers) = mpsc::channel(WAITING);
        let mut carrier = JoinSet::new();
        let member = Member { process: sender, is_member: self.admission.is_member.clone() };
        carrier.spawn(carry(request.into_inner(), member, self.incoming.clone(), replies));
        // Each ends the other: the carrier lives as long as the answers are read, and they are read as long as it lives.
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
                sleep(LOOK_FOR_LEASE).await;
            }
        };
        match timeout(WAIT_FOR_LEASE, lease_seen).await {
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
    let (mut second, mut taken) = (Instant::now(), 0);
    loop {
        if second.elapsed() >= SECOND {
            (second, taken) = (Instant::now(), 0);
        }
        if taken >= MESSAGES_A_SECOND {
            sleep_until(second + SECOND).await;
            continue;
        }
        taken += 1;
        let message = tokio::select! {
            message = messages.message() => message,
            // The reign is over; tonic's own tasks don't know.
            () = incoming.closed() => break,
        };
        let Ok(Some(message)) = message else { break };
        if !is_member(&sender) {
            tracing::warn!(replica = %sender.name, "it is no member any more; its link is ended");
            break;
        }
        let bytes = message.encoded_len();
        match codec::decode(message, &sender.name) {
            Ok(message) => {
                let letter = Incoming { sender: sender.clone(), message, bytes, replies: replies.clone() };
                if incoming.send(letter).await.is_err() {
                    return;
                }
            }
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(replica = %sender.name, %error, "a message of a worker is left alone");
            }
            Err(_) => {}
        }
    }
    tracing::info!(replica = %sender.name, "a worker's link ended");
}
