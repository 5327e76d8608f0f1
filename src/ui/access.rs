//! Identifies users, and limits what each sees to what the hub lets that user list.
//!
//! ```text
//! on a laptop:     the URL of `ksit ui`, once ─> session cookie ─> all that the user's kubeconfig shows
//! in the cluster:  Authorization: Bearer, or a token typed in ─> session cookie ─> TokenReview ─> SubjectAccessReview
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::Client;
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::params::Access;
use crate::hub::{UserReviewError, allowed_namespaces, review_user};

/// Time for which a review holds: a revoked token shows nothing any more after it.
const REVIEW_LIFETIME: Duration = Duration::from_secs(30);

/// A session ends after a working day.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Sessions, and reviews that are kept; the oldest go first.
const MAX_KEPT: usize = 1_000;

/// Reviews at a time: strangers can send any number of tokens.
const MAX_REVIEWS: usize = 8;

/// Name of the cookie. The prefix keeps other hosts and unencrypted pages from setting it.
const COOKIE: &str = "__Host-ksit";

/// A reason to show nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    /// Nobody has signed in.
    #[error("sign in first")]
    NotSignedIn,
    /// The token is not accepted, or not any more.
    #[error("the hub does not accept this token: it is unknown, expired or revoked")]
    Refused,
    /// The user is known and may see nothing.
    #[error("you may not list IntegrationTargets in any namespace: ask for list on integrationtargets.ksit.io")]
    Forbidden,
    /// The hub can't be asked.
    #[error("the hub can't review your token: {0}")]
    Unavailable(String),
    /// Another site sent the request.
    #[error("requests of other sites are refused")]
    OtherSite,
}

/// How users prove themselves.
pub(super) enum Gate {
    /// On a laptop.
    Local(Local),
    /// In the cluster.
    Cluster(Cluster),
}

/// One user, who started the program and has its URL.
pub(super) struct Local {
    /// Hosts by which the page may be called; another one is a DNS name that somebody points here.
    hosts: Vec<String>,
    state: Mutex<LocalState>,
}

struct LocalState {
    /// Digest of the token in the URL, until it is used.
    once: Option<[u8; 32]>,
    /// Digest of the session's cookie.
    session: Option<[u8; 32]>,
}

/// Any user of the hub.
pub(super) struct Cluster {
    /// May review tokens and access.
    client: Client,
    state: Mutex<ClusterState>,
    reviews: Semaphore,
}

#[derive(Default)]
struct ClusterState {
    /// By digest of the cookie.
    sessions: BTreeMap<[u8; 32], (Instant, Arc<SecretString>)>,
    /// By digest of the token.
    reviews: BTreeMap<[u8; 32], (Instant, Result<Access, Denied>)>,
}

impl Local {
    /// Accepts the returned token once, at a host on this port.
    pub(super) fn new(port: u16) -> (Self, String) {
        let token = random();
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}")).to_vec();
        let state = Mutex::new(LocalState { once: Some(digest(&token)), session: None });
        (Self { hosts, state }, token)
    }

    fn admit(&self, headers: &HeaderMap) -> Result<Access, Denied> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !self.hosts.iter().any(|own| own == host) {
            return Err(Denied::OtherSite);
        }
        let cookie = cookie(headers).map(|value| digest(&value));
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (cookie.is_some() && state.session == cookie).then_some(Access::All).ok_or(Denied::NotSignedIn)
    }
}

impl Cluster {
    /// Reviews tokens with `client`.
    pub(super) fn new(client: Client) -> Self {
        Self { client, state: Mutex::default(), reviews: Semaphore::new(MAX_REVIEWS) }
    }

    fn token(&self, headers: &HeaderMap) -> Option<Arc<SecretString>> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if let Some(token) = bearer {
            return Some(Arc::new(SecretString::from(token.trim())));
        }
        let cookie = digest(&cookie(headers)?);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sessions.retain(|_, (began, _)| began.elapsed() < SESSION_LIFETIME);
        state.sessions.get(&cookie).map(|(_, token)| token.clone())
    }

    /// Namespaces that the owner of the token may see, by the hub's answer of at most [`REVIEW_LIFETIME`] ago.
    async fn access(
        &self,
        token: &SecretString,
        namespaces: impl FnOnce() -> BTreeSet<String>,
    ) -> Result<Access, Denied> {
        let key = digest(token.expose_secret());
        if let Some(found) = self.reviewed(&key) {
            return found;
        }
        let Ok(_permit) = self.reviews.acquire().await else { return Err(Denied::NotSignedIn) };
        // Another request with the same token may have been reviewed meanwhile.
        if let Some(found) = self.reviewed(&key) {
            return found;
        }
        let found = match self.review(token, namespaces()).await {
            Ok(access) => Ok(access),
            // Not kept: the next request asks again.
            Err(Denied::Unavailable(why)) => return Err(Denied::Unavailable(why)),
            Err(denied) => Err(denied),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        evict_oldest(&mut state.reviews);
        state.reviews.insert(key, (Instant::now(), found.clone()));
        found
    }

    fn reviewed(&self, key: &[u8; 32]) -> Option<Result<Access, Denied>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reviews.get(key).filter(|(at, _)| at.elapsed() < REVIEW_LIFETIME).map(|(_, found)| found.clone())
    }

    async fn review(&self, token: &SecretString, namespaces: BTreeSet<String>) -> Result<Access, Denied> {
        let user = review_user(&self.client, token).await.map_err(denied)?;
        match allowed_namespaces(&self.client, &user, namespaces).await.map_err(denied)? {
            None => Ok(Access::All),
            Some(none) if none.is_empty() => Err(Denied::Forbidden),
            Some(some) => Ok(Access::Only(some)),
        }
    }
}

impl Gate {
    /// Namespaces that the sender of a request may see. `namespaces` are those that could be asked for.
    ///
    /// # Errors
    /// Fails if the sender has not proved who it is, or may see nothing.
    pub(super) async fn admit(
        &self,
        headers: &HeaderMap,
        namespaces: impl FnOnce() -> BTreeSet<String>,
    ) -> Result<Access, Denied> {
        match self {
            Self::Local(local) => local.admit(headers),
            Self::Cluster(cluster) => {
                let token = cluster.token(headers).ok_or(Denied::NotSignedIn)?;
                cluster.access(&token, namespaces).await
            }
        }
    }

    /// Begins a session with the token; returns the cookie to set.
    ///
    /// # Errors
    /// Fails if the token is not accepted, or its owner may see nothing.
    pub(super) async fn sign_in(
        &self,
        token: &str,
        namespaces: impl FnOnce() -> BTreeSet<String>,
    ) -> Result<String, Denied> {
        let value = random();
        match self {
            Self::Local(local) => {
                let mut state = local.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.once.is_none() || state.once != Some(digest(token)) {
                    return Err(Denied::NotSignedIn);
                }
                (state.once, state.session) = (None, Some(digest(&value)));
            }
            Self::Cluster(cluster) => {
                let token = Arc::new(SecretString::from(token.trim()));
                cluster.access(&token, namespaces).await?;
                let mut state = cluster.state.lock().unwrap_or_else(PoisonError::into_inner);
                evict_oldest(&mut state.sessions);
                state.sessions.insert(digest(&value), (Instant::now(), token));
            }
        }
        Ok(format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Strict"))
    }

    /// Ends the session of the request; returns the cookie to set.
    pub(super) fn sign_out(&self, headers: &HeaderMap) -> String {
        let ended = cookie(headers).map(|value| digest(&value));
        match (self, ended) {
            (Self::Local(local), Some(ended)) => {
                let mut state = local.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.session = state.session.filter(|session| *session != ended);
            }
            (Self::Cluster(cluster), Some(ended)) => {
                drop(cluster.state.lock().unwrap_or_else(PoisonError::into_inner).sessions.remove(&ended));
            }
            (_, None) => {}
        }
        format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    /// Whether users sign in with a token of the hub.
    pub(super) fn takes_tokens(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// Refuses requests that another site makes with this one's cookies; browsers say so.
///
/// # Errors
/// Fails if the request is one of another site.
pub(super) fn check_site(headers: &HeaderMap, is_navigation: bool) -> Result<(), Denied> {
    let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match of("sec-fetch-site") {
        None | Some("same-origin" | "none") => {}
        // A link from another page; the cookie is not sent with it.
        Some(_) if is_navigation && of("sec-fetch-mode") == Some("navigate") => {}
        Some(_) => return Err(Denied::OtherSite),
    }
    let (origin, host) = (of("origin"), of("host").unwrap_or_default());
    match origin.and_then(|origin| origin.split_once("://")) {
        Some((_, authority)) if authority != host => Err(Denied::OtherSite),
        None if origin.is_some() && !is_navigation => Err(Denied::OtherSite),
        _ => Ok(()),
    }
}

fn denied(error: UserReviewError) -> Denied {
    match error {
        UserReviewError::Refused => Denied::Refused,
        UserReviewError::Unavailable(why) => Denied::Unavailable(why),
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// 256 random bits.
fn random() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Secrets are compared and kept by their digests.
fn digest(text: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().unwrap_or_default()
}

fn evict_oldest<T>(kept: &mut BTreeMap<[u8; 32], (Instant, T)>) {
    if kept.len() >= MAX_KEPT
        && let Some(oldest) = kept.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| *key)
    {
        kept.remove(&oldest);
    }
}
