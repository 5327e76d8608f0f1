//! Runs one round of one target: read the credential, fetch from the cluster what isn't cached, evaluate the tools.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::domain::access::{IdentityAccess, TargetAccess};
use crate::domain::backoff::jittered;
use crate::domain::check_mode::CheckMode;
use crate::domain::desired::{DesiredIntegration, DesiredTarget};
use crate::domain::evaluate::{Clock, evaluate};
use crate::domain::keys::IntegrationKey;
use crate::domain::managed::hold_counts;
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::Query;
use crate::domain::verdict::{Outcome, TargetVerdict, ToolVerdict};
use crate::hub::{KubeconfigSecret, Reading, SecretError, read_kubeconfig};
use crate::targets::kubeconfig::{vet, vet_access};
use crate::targets::{Cluster, Connection, Reflector, Standing};

use super::renewal::{Renewing, complaint, due, renew_if_due, renewing};
use super::tokens::RenewedToken;
use super::{Assignment, CheckBy, WorkerContext};

/// Upper bound between two reads of a Secret, to notice its deletion. Each read is up to a fifth earlier, to spread
/// thousands of Secrets that were first read together.
const REREAD: Duration = Duration::from_secs(600);

/// Time between two reports of the counts of managed objects while the same ones fail.
const RECOUNT: Duration = Duration::from_secs(60);

/// The connection to a target, the Secret that it came from, and the cached state of the cluster.
pub(super) struct Access {
    pub(super) cluster: Arc<Cluster>,
    pub(super) reflector: Reflector,
    /// resourceVersion of the Secret; `None` without one.
    pub(super) secret_version: Option<String>,
    /// Version that the Secret watch, if enabled, had reported at that read.
    watched_version: Option<String>,
    pub(super) reread_at: Instant,
    /// The renewal of the token in the Secret, if that asks for it.
    pub(super) renewing: Renewing,
    last_evaluated: Option<Evaluation>,
    /// Time from which counts of managed objects are reported again, although the same objects fail.
    recount_at: Timestamp,
    /// Queries that would tell why something is broken, as of the last evaluation.
    why: BTreeSet<Query>,
    origin: Origin,
    /// Held so that it is renewed.
    _token: Option<Arc<RenewedToken>>,
}

/// The part of the spec that an access was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// Name and key.
    Secret(String, Option<String>),
    Identity(Arc<IdentityAccess>),
    /// A ClusterProfile that can't be used.
    None,
}

impl Origin {
    fn of(assignment: &Assignment) -> Self {
        let target = &assignment.target;
        match identity(assignment) {
            Some(Ok(access)) => Self::Identity(access.clone()),
            Some(Err(_)) => Self::None,
            None => Self::Secret(target.secret_name.clone(), target.secret_key.clone()),
        }
    }
}

/// The access with an identity of the operator, if the target has no Secret.
fn identity(assignment: &Assignment) -> Option<Result<&Arc<IdentityAccess>, &Failure>> {
    match &assignment.target.access {
        Some(TargetAccess::Identity(access)) => Some(Ok(access)),
        // There always is one for such a target.
        Some(TargetAccess::ClusterProfile(_)) => assignment.profile.as_ref().map(Result::as_ref),
        None => None,
    }
}

/// The inputs of the last evaluation.
struct Evaluation {
    /// Version of the snapshot.
    version: u64,
    integrations: Vec<Arc<DesiredIntegration>>,
    /// Time at which the same inputs would be judged otherwise.
    until: Option<Timestamp>,
}

impl Evaluation {
    fn is_current(&self, version: u64, integrations: &[Arc<DesiredIntegration>], now: Timestamp) -> bool {
        let same = |(a, b): (&Arc<DesiredIntegration>, &Arc<DesiredIntegration>)| Arc::ptr_eq(a, b);
        self.version == version
            && self.until.is_none_or(|until| now < until)
            && self.integrations.len() == integrations.len()
            && self.integrations.iter().zip(integrations).all(same)
    }
}

impl Access {
    /// Evaluates all integrations. `None` if they, the snapshot and the deadlines are as at the last evaluation.
    /// `last`: the last verdict on the target, for the time since which components have been unhealthy.
    pub(super) fn evaluate_if_changed(
        &mut self,
        assignment: &Assignment,
        last: Option<&TargetVerdict>,
    ) -> Option<Vec<(IntegrationKey, ToolVerdict)>> {
        let (version, now) = (self.reflector.version(), Timestamp::now());
        let is_current = |last: &Evaluation| last.is_current(version, &assignment.integrations, now);
        if self.last_evaluated.as_ref().is_some_and(is_current) {
            return None;
        }
        let snapshot = self.reflector.snapshot();
        let (recount_at, mut is_held) = (self.recount_at, false);
        let (mut deadline, mut why): (Option<Timestamp>, BTreeSet<Query>) = (None, BTreeSet::new());
        let verdicts = assignment.integrations.iter().filter_map(|integration| {
            let expected = integration.expected.as_ref().ok()?;
            let earlier = last.and_then(|last| last.tool(&integration.key)).map_or(&[][..], |tool| &tool.observations);
            let clock = Clock { now, earlier };
            let mut evaluated = evaluate(expected, &snapshot, integration.when_absent, &clock);
            if now < recount_at {
                let resources =
                    last.and_then(|last| last.tool(&integration.key)).map_or(&[][..], |tool| &tool.resources);
                is_held |= hold_counts(&mut evaluated.verdict.resources, resources);
            }
            deadline = deadline.into_iter().chain(evaluated.until).min();
            why.extend(evaluated.why);
            Some((integration.key.clone(), evaluated.verdict))
        });
        let verdicts = verdicts.collect();
        self.why = why;
        if is_held {
            deadline = deadline.into_iter().chain([recount_at]).min();
        } else if now >= recount_at {
            self.recount_at = now.checked_add(jittered(RECOUNT, 0.2, rand::random())).unwrap_or(Timestamp::MAX);
        }
        let integrations = assignment.integrations.clone();
        self.last_evaluated = Some(Evaluation { version, integrations, until: deadline });
        Some(verdicts)
    }

    pub(super) fn mode(&self) -> Option<CheckMode> {
        self.reflector.mode(&self.cluster.connection().host_display())
    }

    /// When the credential expires, if soon or if its token is not renewed. Then also why not.
    pub(super) fn credential_ends(&self) -> (Option<Timestamp>, Option<String>) {
        let (now, validity) = (Timestamp::now(), self.cluster.connection().validity());
        let complaint = complaint(&self.renewing, now).filter(|_| validity.is_some());
        let ends = validity.filter(|validity| complaint.is_some() || validity.ends_soon(now));
        (ends.map(|validity| validity.until), complaint.map(|failure| failure.message.clone()))
    }

    /// Remark on the connection that is no fault.
    pub(super) fn note(&self) -> Option<String> {
        let note = self.cluster.connection().note();
        let complaint = complaint(&self.renewing, Timestamp::now());
        let complaint = complaint.filter(|_| self.cluster.connection().validity().is_none());
        let notes: Vec<&str> = note.into_iter().chain(complaint.map(|failure| failure.message.as_str())).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// When the token in the Secret is to be renewed.
    pub(super) fn renewal_due(&self) -> Option<tokio::time::Instant> {
        due(&self.renewing)
    }

    async fn read(&mut self, assignment: &Assignment, standing: Standing) -> Result<(), Failure> {
        if self.why.is_empty() {
            return self.reflector.refresh(&self.cluster, &assignment.queries, standing).await;
        }
        let queries = assignment.queries.union(&self.why).cloned().collect();
        self.reflector.refresh(&self.cluster, &queries, standing).await
    }
}

pub(super) struct RoundResult {
    /// `None`: unchanged.
    pub(super) outcome: Option<Outcome>,
    pub(super) access: Option<Access>,
}

impl RoundResult {
    pub(super) fn failed(failure: Failure, access: Option<Access>) -> Self {
        Self { outcome: Some(Outcome::Failed(failure)), access }
    }
}

/// The Secret could not be read from the hub, so the round has no outcome for the target.
pub(super) struct HubUnavailable {
    pub(super) error: String,
    /// The access from before the round.
    pub(super) access: Option<Access>,
}

/// Runs one round.
pub(super) async fn run(
    context: &WorkerContext,
    assignment: &Assignment,
    access: Option<Access>,
    standing: Standing,
    last: Option<&TargetVerdict>,
) -> Result<RoundResult, Box<HubUnavailable>> {
    let former = access.filter(|access| access.origin == Origin::of(assignment));
    let is_reused = former.as_ref().is_some_and(|access| is_fresh(access, assignment));
    let mut access = match former {
        Some(access) if is_reused => access,
        former => match open(context, assignment, former).await {
            Ok(access) => access,
            Err(OpenError::Target(failure)) => return Ok(RoundResult::failed(failure, None)),
            Err(OpenError::Hub(unavailable)) => match *unavailable {
                // Only the periodic read of the Secret failed: the credential at hand is good enough to check the
                // target.
                HubUnavailable { error, access: Some(aged) } => {
                    tracing::debug!(target = %assignment.target.key, error, "can't read the Secret again yet");
                    aged
                }
                unavailable => return Err(Box::new(unavailable)),
            },
        },
    };
    let mut read = access.read(assignment, standing).await;
    if is_reused && read.as_ref().is_err_and(|failure| failure.reason == Reason::Unauthorized) {
        // The credential may have been rotated: read the Secret now, and retry if it has changed.
        let former = access.secret_version.clone();
        access = match open(context, assignment, Some(access)).await {
            Ok(access) => access,
            Err(OpenError::Target(failure)) => return Ok(RoundResult::failed(failure, None)),
            Err(OpenError::Hub(unavailable)) => return Err(unavailable),
        };
        if access.secret_version != former {
            read = access.read(assignment, standing).await;
        }
    }
    if read.as_ref().err().is_none_or(|failure| failure.reason != Reason::Unauthorized) {
        renew_if_due(&mut access, context, &assignment.target).await;
    }
    Ok(match read {
        Ok(()) => {
            if standing.is_failing() {
                access.last_evaluated = None;
            }
            RoundResult {
                outcome: access.evaluate_if_changed(assignment, last).map(Outcome::Read),
                access: Some(access),
            }
        }
        // Read the Secret again before the next round: permanent failures are fixed by a new one.
        Err(failure) if !failure.reason.is_transient() => RoundResult::failed(failure, None),
        Err(failure) => RoundResult::failed(failure, Some(access)),
    })
}

/// The Secret was read recently, and the watch has reported no change since.
fn is_fresh(access: &Access, assignment: &Assignment) -> bool {
    let watched = &assignment.secret_version;
    let is_unchanged = *watched == access.watched_version || *watched == access.secret_version;
    is_unchanged && Instant::now() < access.reread_at
}

/// Why there is no connection.
enum OpenError {
    /// The Secret is missing or unusable.
    Target(Failure),
    Hub(Box<HubUnavailable>),
}

/// Spec → vetted connection → the one cluster of this target. Keeps the reflector of `former` if the API server is the
/// same.
async fn open(context: &WorkerContext, assignment: &Assignment, former: Option<Access>) -> Result<Access, OpenError> {
    let target = &assignment.target;
    let refused = |failure| {
        context.clusters.forget(&target.key);
        OpenError::Target(failure)
    };
    let (connection, secret, token) = match identity(assignment) {
        Some(Err(failure)) => return Err(refused(failure.clone())),
        Some(Ok(access)) => {
            let (connection, token) = sign_in(context, target, access).await.map_err(refused)?;
            (connection, None, Some(token))
        }
        None => {
            let secret = match read_secret(context, target, former.is_some()).await {
                Ok(secret) => secret,
                Err(SecretError::Unusable(failure)) => return Err(refused(failure)),
                Err(SecretError::Hub(error)) => {
                    return Err(OpenError::Hub(Box::new(HubUnavailable { error, access: former })));
                }
            };
            (vet(&secret.bytes, &context.policy).map_err(refused)?, Some(secret), None)
        }
    };
    let ttl = secret.as_ref().and_then(|secret| secret.token_ttl.clone());
    let secret_version = secret.map(|secret| secret.resource_version);
    // A renewal of the same token goes on with its back-off.
    let same_secret = former.as_ref().filter(|former| former.secret_version == secret_version);
    let kept = same_secret.and_then(|former| former.renewing.clone());
    let same_server = former.filter(|former| former.cluster.connection().is_same_server(&connection));
    let reflector = same_server.map(|former| former.reflector).unwrap_or_else(|| match context.settings.check_by {
        CheckBy::Auto => Reflector::default(),
        CheckBy::Poll => Reflector::polling(),
    });
    let cluster = context.clusters.ensure(&target.key, connection);
    Ok(Access {
        renewing: kept.or_else(|| renewing(context, ttl.as_deref(), cluster.connection().validity())),
        cluster,
        reflector,
        secret_version,
        watched_version: assignment.secret_version.clone(),
        reread_at: Instant::now() + jittered(REREAD, 0.2, rand::random()),
        origin: Origin::of(assignment),
        _token: token,
        last_evaluated: None,
        recount_at: Timestamp::UNIX_EPOCH,
        why: BTreeSet::new(),
    })
}

/// The Secret of a target.
pub(super) async fn read_secret(
    context: &WorkerContext,
    target: &DesiredTarget,
    newest: bool,
) -> Result<KubeconfigSecret, SecretError> {
    // The semaphore is never closed.
    let _permit = context.secret_reads.acquire().await.ok();
    read_kubeconfig(&context.hub, target, if newest { Reading::Newest } else { Reading::Cached }).await
}

/// The connection with a token of this operator's own identity, which only namespaces that it trusts may use: whoever
/// writes the target chooses the server that receives the token.
async fn sign_in(
    context: &WorkerContext,
    target: &DesiredTarget,
    access: &IdentityAccess,
) -> Result<(Connection, Arc<RenewedToken>), Failure> {
    let trusted = &context.settings.access_namespaces;
    if !trusted.contains(target.key.namespace()) {
        let message = format!(
            "spec.access is not accepted in namespace {}: add it to --access-namespaces of the operator if all who may \
             write IntegrationTargets there may use ksit's identity",
            target.key.namespace()
        );
        return Err(Failure::new(Reason::AccessRefused, message));
    }
    let token = context.tokens.get(&access.identity).await?;
    Ok((vet_access(access, token.live(), &context.policy)?, token))
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
