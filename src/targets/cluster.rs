//! One target: its connection, and reading from it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use rustls::ClientConfig;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use super::address::Policy;
use super::connection::Connection;
use super::dial::{dial, tls};
use super::http::{Answered, Session};
use super::list::{MOST_OBJECTS, append, page};
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::{Answer, ListKind, Query, Snapshot};

/// Objects on a page.
const PAGE: usize = 500;
/// Requests that one target has to answer at a time.
const IN_FLIGHT: usize = 8;

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// What all targets of a process share.
#[derive(Debug)]
pub struct Limits {
    pub policy: Policy,
    /// A round that takes longer has failed.
    pub round_deadline: Duration,
    /// Bytes of one answer that are read.
    pub largest_answer: usize,
    connects: Semaphore,
    /// A smaller door for targets that fail now, so that those which hang can't hold up those which work.
    failing_connects: Semaphore,
}

impl Limits {
    /// At most `connects` connections are being made at a time, 30 % of them to failing targets.
    pub fn new(policy: Policy, round_deadline: Duration, connects: usize) -> Self {
        let failing = (connects * 3 / 10).max(1);
        Self {
            policy,
            round_deadline,
            largest_answer: 16 << 20,
            connects: Semaphore::new(connects.max(1)),
            failing_connects: Semaphore::new(failing),
        }
    }
}

/// The one owner of the connection to a target.
pub struct Cluster {
    connection: Connection,
    tls: Arc<ClientConfig>,
    limits: Arc<Limits>,
    session: Mutex<Option<Arc<Session>>>,
}

impl Cluster {
    pub fn new(connection: Connection, limits: Arc<Limits>) -> Result<Self, Failure> {
        let tls = tls(&connection)?;
        Ok(Self { connection, tls, limits, session: Mutex::new(None) })
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Host and port, for people.
    pub fn server(&self) -> String {
        self.connection.server()
    }

    /// Asks every query once, all within one deadline. `failing` says that the target's last round failed.
    pub async fn read(&self, queries: &BTreeSet<Query>, failing: bool) -> Result<Snapshot, Failure> {
        let deadline = self.limits.round_deadline;
        let result = match timeout(deadline, self.read_all(queries, failing)).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("{} did not answer within {} s", self.server(), deadline.as_secs());
                Err(Failure::new(Reason::TimedOut, message))
            }
        };
        if result.is_err() {
            // Whatever is half-done on it: the next round starts with a clean one.
            *self.session.lock().await = None;
        }
        result
    }

    async fn read_all(&self, queries: &BTreeSet<Query>, failing: bool) -> Result<Snapshot, Failure> {
        let (session, reused) = self.session(failing).await?;
        match self.ask(&session, queries).await {
            // A kept connection may have been closed between rounds: that says nothing of the target.
            Err(failure) if reused && failure.reason == Reason::ConnectionLost => {
                *self.session.lock().await = None;
                let (session, _) = self.session(failing).await?;
                self.ask(&session, queries).await
            }
            result => result,
        }
    }

    async fn ask(&self, session: &Session, queries: &BTreeSet<Query>) -> Result<Snapshot, Failure> {
        stream::iter(queries.iter().cloned())
            .map(|query| async move { Ok((query.clone(), self.answer(session, &query).await?)) })
            .buffer_unordered(IN_FLIGHT)
            .try_collect()
            .await
    }

    /// The open session, or a new one, and whether it was open already.
    async fn session(&self, failing: bool) -> Result<(Arc<Session>, bool), Failure> {
        if let Some(session) = self.session.lock().await.as_ref().filter(|session| session.is_open()) {
            return Ok((session.clone(), true));
        }
        let closed = |_| Failure::new(Reason::ConnectionLost, "ksit is shutting down");
        let _narrow = match failing {
            true => Some(self.limits.failing_connects.acquire().await.map_err(closed)?),
            false => None,
        };
        let _wide = self.limits.connects.acquire().await.map_err(closed)?;
        let stream = dial(&self.connection, self.tls.clone(), &self.limits.policy).await?;
        let session = Arc::new(Session::start(&self.connection, stream).await?);
        *self.session.lock().await = Some(session.clone());
        Ok((session, false))
    }

    async fn answer(&self, session: &Session, query: &Query) -> Result<Answer, Failure> {
        match query {
            Query::List { kind, namespace } => self.list(session, *kind, namespace).await,
            Query::Crd { name } => {
                let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}", escape(name));
                self.presence(session, &path, METADATA).await
            }
            Query::Namespace { name } => {
                self.presence(session, &format!("/api/v1/namespaces/{}", escape(name)), METADATA).await
            }
            Query::Version => self.presence(session, "/version", JSON).await,
        }
    }

    async fn presence(&self, session: &Session, path: &str, accept: &'static str) -> Result<Answer, Failure> {
        let answered = session.get(path, accept, self.limits.largest_answer).await?;
        Ok(self.unless_ok(&answered)?.unwrap_or(Answer::Present))
    }

    async fn list(&self, session: &Session, kind: ListKind, namespace: &str) -> Result<Answer, Failure> {
        let (group, version, resource) = kind.resource();
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let first = format!("{root}/namespaces/{}/{resource}?limit={PAGE}", escape(namespace));
        let mut restarted = false;
        let (mut all, mut objects, mut path) = (None, 0, first.clone());
        loop {
            let answered = session.get(&path, JSON, self.limits.largest_answer).await?;
            // The place to go on from has expired: once more from the start.
            if answered.status.as_u16() == 410 && !restarted {
                (all, objects, path, restarted) = (None, 0, first.clone(), true);
                continue;
            }
            if let Some(answer) = self.unless_ok(&answered)? {
                return Ok(answer);
            }
            let page = page(kind, &answered.body).ok_or_else(|| self.invalid())?;
            objects += page.objects;
            match &mut all {
                None => all = Some(page.answer),
                Some(all) => append(all, page.answer),
            }
            match (page.next, all.take()) {
                (None, Some(answer)) => return Ok(answer),
                // A page that is empty and yet not the last could go on for ever.
                (Some(next), so_far) if objects <= MOST_OBJECTS && page.objects > 0 => {
                    all = so_far;
                    path = format!("{first}&continue={}", escape(&next));
                }
                _ => {
                    let message =
                        format!("{} lists more than {MOST_OBJECTS} {resource} in one namespace", self.server());
                    return Err(Failure::new(Reason::AnswerTooLarge, message));
                }
            }
        }
    }

    /// None for 2xx; the answer that 403 and 404 are; everything else fails the round.
    fn unless_ok(&self, answered: &Answered) -> Result<Option<Answer>, Failure> {
        let server = self.server();
        let failure = |reason, what: String| Err(Failure::new(reason, format!("{server} {what}")));
        match answered.status.as_u16() {
            200..=299 => Ok(None),
            403 => Ok(Some(Answer::Forbidden)),
            404 => Ok(Some(Answer::NotFound)),
            401 => failure(
                Reason::Unauthorized,
                "does not accept the credential: put a valid kubeconfig into the Secret".to_owned(),
            ),
            429 => failure(Reason::Throttled, "is overloaded and asks to come back later (429)".to_owned()),
            code @ 500..=599 => failure(Reason::ServerError, format!("answered {code}: look at its API server's log")),
            code => failure(Reason::InvalidAnswer, format!("answered {code}: is it a Kubernetes API server?")),
        }
    }

    fn invalid(&self) -> Failure {
        let message = format!("{} answered with something else than a Kubernetes list", self.server());
        Failure::new(Reason::InvalidAnswer, message)
    }
}

/// Percent-encodes what may not stand in a path or query as it is.
fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
