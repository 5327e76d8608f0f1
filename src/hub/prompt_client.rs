//! Requests that are never retried and never waited for: for Leases and for the shard map.
//!
//! A renewal that comes late is worse than none, since nobody knows what it was decided from. So each request has its
//! own short deadline, and after one that hung the next goes over a new connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::{Client, Config};
use tokio::time::timeout;

/// Time for one request, connecting included.
pub const PROMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// Somebody else wrote the object since, made it, or deleted it.
    #[error("it changed meanwhile")]
    Conflict,
    #[error("the API server refuses it: {0}")]
    Refused(String),
    /// It may have been done all the same.
    #[error("the hub does not answer: {0}")]
    Unavailable(String),
}

impl PromptError {
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

impl From<kube::Error> for PromptError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 | 409 => Self::Conflict,
                429 | 500.. => Self::Unavailable(status.message),
                _ => Self::Refused(status.message),
            },
            error => Self::Unavailable(error.to_string()),
        }
    }
}

type Connect = Arc<dyn Fn() -> Result<Client, kube::Error> + Send + Sync>;

/// A client of its own for what must be prompt. Cheap to clone.
#[derive(Clone)]
pub struct PromptClient {
    connect: Connect,
    client: Arc<Mutex<Client>>,
}

impl PromptClient {
    pub fn new(mut config: Config) -> Result<Self, kube::Error> {
        config.connect_timeout = Some(PROMPT_TIMEOUT);
        // Not a read time-out: it would also end a connection that idles from one renewal to the next, at the very
        // moment of the next. The deadline of each request is ours.
        config.read_timeout = None;
        config.default_retry = false;
        Self::connected_by(Arc::new(move || Client::try_from(config.clone())))
    }

    /// With any way to make a client.
    pub fn connected_by(connect: Connect) -> Result<Self, kube::Error> {
        let client = Arc::new(Mutex::new(connect()?));
        Ok(Self { connect, client })
    }

    /// Makes one request, or several that have to fit into the deadline together.
    pub async fn ask<T, E>(&self, request: impl AsyncFnOnce(Client) -> Result<T, E>) -> Result<T, PromptError>
    where
        PromptError: From<E>,
    {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match timeout(PROMPT_TIMEOUT, request(client)).await {
            Ok(answer) => answer.map_err(PromptError::from),
            Err(_) => {
                self.reconnect();
                Err(PromptError::Unavailable(format!("nothing within {} s", PROMPT_TIMEOUT.as_secs())))
            }
        }
    }

    /// After a request that hung: its connection may be as dead as it was.
    fn reconnect(&self) {
        match (self.connect)() {
            Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => tracing::warn!(%error, "no new connection to the hub; the old one is kept"),
        }
    }
}
