//! The coordinator's end: takes links from workers that prove who they are.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use prost::Message;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use super::auth::{AuthError, Authenticator};
use super::link::{Incoming, WAITING};
use super::tls::TermCertificate;
use super::wire::reports_server::{Reports, ReportsServer};
use super::wire::{CoordinatorMessage, WorkerMessage};
use super::{LARGEST_MESSAGE, NONCE, PATIENCE, codec};
use crate::domain::replica::Incarnation;

/// Handshakes under way at a time.
const HANDSHAKES: usize = 64;

const SECOND: Duration = Duration::from_secs(1);

/// A worker needs one.
const STREAMS: u32 = 2;

/// Messages taken from one worker in a second; what is more waits in the worker. Ten thousand clusters that all change
/// at once are told of in five seconds.
const MESSAGES_A_SECOND: u32 = 2_000;

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
    auth: Authenticator,
    incoming: mpsc::Sender<Incoming>,
) -> Result<(), ServeError> {
    let tls = TlsAcceptor::from(Arc::new(certificate.server_config()?));
    let service = ReportsServer::new(Desk { auth, incoming }).max_decoding_message_size(LARGEST_MESSAGE);
    Server::builder()
        .http2_keepalive_interval(Some(PATIENCE))
        .http2_keepalive_timeout(Some(PATIENCE))
        .max_concurrent_streams(STREAMS)
        .add_service(service)
        .serve_with_incoming(encrypted(listener, tls))
        .await?;
    Ok(())
}

/// Connections whose handshake was made in time; one that dawdles holds up nobody.
fn encrypted(listener: TcpListener, tls: TlsAcceptor) -> impl Stream<Item = Result<Encrypted, std::io::Error>> {
    let accepted = stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((connection, _)) => return Some((connection, listener)),
                // Out of file descriptors, or a caller that went away: the next may do better.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    let handshake = move |connection: TcpStream| {
        let tls = tls.clone();
        async move {
            let _ = connection.set_nodelay(true);
            timeout(PATIENCE, tls.accept(connection)).await.ok()?.ok().map(Encrypted).map(Ok)
        }
    };
    accepted.map(handshake).buffer_unordered(HANDSHAKES).filter_map(std::future::ready)
}

struct Desk {
    auth: Authenticator,
    incoming: mpsc::Sender<Incoming>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Reports for Desk {
    type ConnectStream = Answers;

    async fn connect(&self, request: Request<Streaming<WorkerMessage>>) -> Result<Response<Answers>, Status> {
        let sender = Arc::new(self.sender(request.metadata()).await?);
        tracing::info!(replica = %sender.name, "a worker reports");
        let (replies, answers) = mpsc::channel(WAITING);
        let mut carrier = JoinSet::new();
        carrier.spawn(carry(request.into_inner(), sender, self.incoming.clone(), replies));
        // Each ends the other: the carrier lives as long as the answers are read, and they are read as long as it lives.
        let answers = ReceiverStream::new(answers).map(codec::encode_answer).map(Ok);
        let answers = answers.take_until(async move { carrier.join_next().await });
        Ok(Response::new(Box::pin(answers)))
    }
}

impl Desk {
    async fn sender(&self, metadata: &MetadataMap) -> Result<Incarnation, Status> {
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let token = text("authorization").and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Status::unauthenticated("a token is missing"))?;
        let nonce = text(NONCE).filter(|nonce| nonce.len() <= 64).unwrap_or_default();
        match self.auth.pod(SecretString::from(token)).await {
            Ok(pod) => Ok(Incarnation::new(pod.name, pod.uid, nonce)),
            Err(AuthError::Refused(why)) => Err(Status::unauthenticated(why)),
            Err(AuthError::Unavailable(why)) => Err(Status::unavailable(why)),
        }
    }
}

async fn carry(
    mut messages: Streaming<WorkerMessage>,
    sender: Arc<Incarnation>,
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

struct Encrypted(TlsStream<TcpStream>);

impl Connected for Encrypted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
