//! Authenticates callers by token: the hub reviews it and returns the Pod, and answers are cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::domain::replica::{Incarnation, PodIdentity};

/// Audience of the tokens that authenticate workers to the coordinator.
pub const AUDIENCE: &str = "reports.ksit.io";

/// Lifetime of a cached acceptance. A deleted Pod loses its Lease long before.
const ACCEPTED_FOR: Duration = Duration::from_secs(300);

/// Lifetime of a cached refusal, so that strangers can't trigger reviews at will.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Capacity of the cache; the oldest answer is evicted.
const CACHE_CAPACITY: usize = 1_024;

const MAX_REVIEWS: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unavailable(String),
}

/// Whether a process belongs to a replica of this installation.
pub type IsMember = Arc<dyn Fn(&Incarnation) -> bool + Send + Sync>;

type Review = Arc<dyn Fn(SecretString) -> BoxFuture<'static, Result<PodIdentity, AuthError>> + Send + Sync>;
type Answer = Result<PodIdentity, AuthError>;

/// Reviews tokens with `review` and caches the answers.
#[derive(Clone)]
pub struct Authenticator {
    review: Review,
    /// Keyed by a hash of the token, seeded per process; the tokens themselves are not kept.
    cache: Arc<Mutex<HashMap<u128, (Instant, Answer)>>>,
    seed: u64,
    reviews: Arc<Semaphore>,
}

impl Authenticator {
    pub fn new(
        review: impl Fn(SecretString) -> BoxFuture<'static, Result<PodIdentity, AuthError>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            review: Arc::new(review),
            cache: Arc::default(),
            seed: rand::random(),
            reviews: Arc::new(Semaphore::new(MAX_REVIEWS)),
        }
    }

    /// Returns the Pod that `token` was issued to.
    pub async fn pod(&self, token: SecretString) -> Result<PodIdentity, AuthError> {
        let hash = xxh3_128_with_seed(token.expose_secret().as_bytes(), self.seed);
        if let Some(answer) = self.cached(hash) {
            return answer;
        }
        let Ok(_permit) = self.reviews.try_acquire() else {
            return Err(AuthError::Unavailable("too many tokens are being reviewed".to_owned()));
        };
        let answer = (self.review)(token).await;
        if !matches!(answer, Err(AuthError::Unavailable(_))) {
            self.store(hash, answer.clone());
        }
        answer
    }

    fn cached(&self, hash: u128) -> Option<Answer> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, (at, answer)| at.elapsed() < if answer.is_ok() { ACCEPTED_FOR } else { REFUSED_FOR });
        cache.get(&hash).map(|(_, answer)| answer.clone())
    }

    fn store(&self, hash: u128, answer: Answer) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_CAPACITY {
            let oldest = cache.iter().min_by_key(|(_, (at, _))| *at).map(|(hash, _)| *hash);
            oldest.and_then(|oldest| cache.remove(&oldest));
        }
        cache.insert(hash, (Instant::now(), answer));
    }
}
