//! Tokens for targets that ksit signs in to with an identity of its own: made once for each identity, and renewed.
//!
//! ```text
//! round ─ get ─> RenewedToken ─ LiveToken ─> connection: each request sends the present token
//!                      └─ task: sleep · make · replace
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::clouds::{Clouds, MadeToken};
use crate::domain::access::Identity;
use crate::domain::backoff::jittered;
use crate::domain::reason::{Failure, Reason};
use crate::hub::request_token;
use crate::targets::LiveToken;

/// Part of a token's lifetime after which it is renewed. The rest is for retries.
const RENEW_AT: f64 = 0.75;

/// First and longest pause after a failure.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Makes tokens, from the hub and the clouds.
pub(crate) struct TokenMaker {
    hub: kube::Client,
    clouds: Clouds,
    /// Wanted lifetime of tokens that the hub makes.
    lifetime: Duration,
}

impl TokenMaker {
    pub(crate) fn new(hub: kube::Client, lifetime: Duration) -> Self {
        Self { hub, clouds: Clouds::from_env(), lifetime }
    }

    async fn make(&self, identity: &Identity) -> Result<MadeToken, Failure> {
        let made = match identity {
            Identity::Oidc { audience } => {
                let made = request_token(&self.hub, audience, self.lifetime).await;
                made.map(|made| MadeToken { token: made.token, lifetime: made.lifetime })
                    .map_err(|message| Failure::new(Reason::TokenUnavailable, message))
            }
            identity => self.clouds.token(identity).await,
        };
        made.map_err(|failure| {
            Failure::new(failure.reason, format!("no token for spec.access.{}: {}", identity.name(), failure.message))
        })
    }
}

/// A token that is renewed while it is held.
pub(super) struct RenewedToken {
    token: LiveToken,
    /// Ends when this is dropped.
    _renewal: JoinSet<()>,
}

impl RenewedToken {
    pub(super) fn live(&self) -> LiveToken {
        self.token.clone()
    }
}

type Slot = Arc<Mutex<Weak<RenewedToken>>>;

/// The tokens of one process.
pub(crate) struct Tokens {
    maker: Arc<TokenMaker>,
    known: StdMutex<BTreeMap<Identity, Slot>>,
}

impl Tokens {
    pub(crate) fn new(maker: TokenMaker) -> Self {
        Self { maker: Arc::new(maker), known: StdMutex::default() }
    }

    /// The token of this identity, made now if no target holds it.
    pub(super) async fn get(&self, identity: &Identity) -> Result<Arc<RenewedToken>, Failure> {
        let slot = self.slot(identity);
        let mut held = slot.lock().await;
        if let Some(token) = held.upgrade() {
            return Ok(token);
        }
        let MadeToken { token, lifetime } = self.maker.make(identity).await?;
        let token = LiveToken::new(&token)?;
        let (maker, identity) = (self.maker.clone(), identity.clone());
        let span = tracing::info_span!("token", identity = identity.name());
        let make = move || {
            let (maker, identity) = (maker.clone(), identity.clone());
            async move { maker.make(&identity).await.map(|made| (made.token, made.lifetime)) }
        };
        let mut renewal = JoinSet::new();
        renewal.spawn(renew(make, token.clone(), lifetime).instrument(span));
        let renewed = Arc::new(RenewedToken { token, _renewal: renewal });
        *held = Arc::downgrade(&renewed);
        Ok(renewed)
    }

    fn slot(&self, identity: &Identity) -> Slot {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(identity) {
            // One that is being made is referenced, or locked.
            known.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.try_lock().map_or(true, |held| held.strong_count() > 0)
            });
        }
        known.entry(identity.clone()).or_default().clone()
    }
}

/// Replaces the token before it ends, for ever. If none can be made until then, the token fails with the cause until
/// one can.
async fn renew<F>(make: impl Fn() -> F, token: LiveToken, mut lifetime: Duration)
where
    F: Future<Output = Result<(SecretString, Duration), Failure>>,
{
    loop {
        let made = Instant::now();
        sleep(jittered(lifetime.mul_f64(RENEW_AT), 0.1, rand::random()).max(RETRY[0])).await;
        let mut pause = RETRY[0];
        lifetime = loop {
            let renewed = match make().await {
                Ok((next, lifetime)) => token.replace(&next).map(|()| lifetime),
                Err(failure) => Err(failure),
            };
            match renewed {
                Ok(lifetime) => break lifetime,
                Err(failure) => {
                    tracing::warn!(message = failure.message, "a token can't be renewed yet");
                    if made.elapsed() >= lifetime {
                        token.fail(failure);
                    }
                }
            }
            sleep(jittered(pause, 0.2, rand::random())).await;
            pause = (pause * 2).min(RETRY[1]);
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Runs a renewal of tokens of 60 s for `time`. `is_up`: whether one can be made, by the number of the attempt.
    async fn renewed(time: u64, is_up: fn(u32) -> bool) -> (LiveToken, u32) {
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = attempts.clone();
        let make = move || {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready(match is_up(number) {
                true => Ok((format!("token-{number}").into(), Duration::from_secs(60))),
                false => Err(Failure::new(Reason::TokenUnavailable, "down")),
            })
        };
        let token = LiveToken::new(&"token-first".into()).unwrap();
        let mut renewal = JoinSet::new();
        renewal.spawn(renew(make, token.clone(), Duration::from_secs(60)));
        sleep(Duration::from_secs(time)).await;
        (token, attempts.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn token_of_a_minute_is_renewed_for_ten_minutes() {
        let (token, attempts) = renewed(600, |_| true).await;
        assert!((12..=15).contains(&attempts), "{attempts}");
        assert!(token.header().is_ok_and(|header| header == format!("Bearer token-{}", attempts - 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn outage_shorter_than_the_rest_of_the_lifetime_is_not_noticed() {
        let (token, attempts) = renewed(58, |attempt| attempt >= 3).await;
        assert!(attempts >= 1 && token.header().is_ok(), "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn ended_token_fails_until_another_can_be_made() {
        let (token, _) = renewed(100, |_| false).await;
        assert_eq!(token.header().unwrap_err().message, "down");
        let (token, attempts) = renewed(300, |attempt| attempt >= 5).await;
        assert!(token.header().is_ok() && attempts > 5, "{attempts}");
    }
}
