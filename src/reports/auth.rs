//! Who calls: the Pod that its token was issued to. The hub says so, and is asked rarely.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::domain::replica::{Incarnation, PodIdentity};

/// What tokens are issued for that prove a worker to the coordinator.
pub const AUDIENCE: &str = "reports.ksit.io";

/// A Pod that is deleted loses its Lease long before.
const ACCEPTED_FOR: Duration = Duration::from_secs(300);

/// So that a stranger can't have the hub asked at will.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Answers that are remembered; then the oldest go.
const REMEMBERED: usize = 1_024;

const REVIEWS_AT_A_TIME: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unavailable(String),
}

/// Whether a process is one of a replica of this installation.
pub type IsMember = Arc<dyn Fn(&Incarnation) -> bool + Send + Sync>;

type Review = Arc<dyn Fn(SecretString) -> BoxFuture<'static, Result<PodIdentity, AuthError>> + Send + Sync>;
type Answer = Result<PodIdentity, AuthError>;

/// Asks by `review`, and remembers.
#[derive(Clone)]
pub struct Authenticator {
    review: Review,
    /// By a hash with a seed of this process: the tokens themselves are not kept.
    known: Arc<Mutex<HashMap<u128, (Instant, Answer)>>>,
    seed: u64,
    reviews: Arc<Semaphore>,
}

impl Authenticator {
    pub fn new(
        review: impl Fn(SecretString) -> BoxFuture<'static, Result<PodIdentity, AuthError>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            review: Arc::new(review),
            known: Arc::default(),
            seed: rand::random(),
            reviews: Arc::new(Semaphore::new(REVIEWS_AT_A_TIME)),
        }
    }

    /// The Pod that `token` belongs to.
    pub async fn pod(&self, token: SecretString) -> Result<PodIdentity, AuthError> {
        let hash = xxh3_128_with_seed(token.expose_secret().as_bytes(), self.seed);
        if let Some(answer) = self.known(hash) {
            return answer;
        }
        let Ok(_turn) = self.reviews.try_acquire() else {
            return Err(AuthError::Unavailable("too many tokens are being reviewed".to_owned()));
        };
        let answer = (self.review)(token).await;
        if !matches!(answer, Err(AuthError::Unavailable(_))) {
            self.remember(hash, answer.clone());
        }
        answer
    }

    fn known(&self, hash: u128) -> Option<Answer> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, answer)| at.elapsed() < if answer.is_ok() { ACCEPTED_FOR } else { REFUSED_FOR });
        known.get(&hash).map(|(_, answer)| answer.clone())
    }

    fn remember(&self, hash: u128, answer: Answer) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            let oldest = known.iter().min_by_key(|(_, (at, _))| *at).map(|(hash, _)| *hash);
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(hash, (Instant::now(), answer));
    }
}
