//! One round of one target: fetch the credential, ask the cluster what isn't known, judge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::check_mode::CheckMode;
use crate::domain::desired::DesiredIntegration;
use crate::domain::evaluate::evaluate;
use crate::domain::keys::IntegrationKey;
use crate::domain::reason::{Failure, Reason};
use crate::domain::verdict::{Outcome, ToolVerdict};
use crate::hub::{Reading, SecretError, read_kubeconfig};
use crate::targets::kubeconfig::vet;
use crate::targets::{Cluster, Reflector};

use super::{Assignment, CheckBy, WorkerContext};

/// A Secret is read again at the latest after this, so that its deletion is noticed; up to a fifth earlier, so that
/// thousands that were read together aren't read together again.
const REREAD: Duration = Duration::from_secs(600);

/// How a target is reached now, by which Secret, and what is known of it.
pub(super) struct Access {
    pub(super) cluster: Arc<Cluster>,
    pub(super) reflector: Reflector,
    pub(super) secret_version: String,
    /// What the watch of Secrets, where there is one, had said by then.
    seen_version: Option<String>,
    reread_at: Instant,
    /// What was judged last: the version of what is known, and the integrations.
    judged: Option<(u64, Vec<Arc<DesiredIntegration>>)>,
    /// What of the spec it was made from.
    secret: (String, Option<String>),
}

impl Access {
    /// `None` if nothing is other than when it was judged last.
    pub(super) fn judge(&mut self, assignment: &Assignment) -> Option<Vec<(IntegrationKey, ToolVerdict)>> {
        let is_judged = self.judged.as_ref().is_some_and(|(version, integrations)| {
            let same = |(a, b): (&Arc<DesiredIntegration>, &Arc<DesiredIntegration>)| Arc::ptr_eq(a, b);
            *version == self.reflector.version()
                && integrations.len() == assignment.integrations.len()
                && integrations.iter().zip(&assignment.integrations).all(same)
        });
        if is_judged {
            return None;
        }
        self.judged = Some((self.reflector.version(), assignment.integrations.clone()));
        let snapshot = self.reflector.snapshot();
        let verdicts = assignment.integrations.iter().filter_map(|integration| {
            let components = integration.components.as_ref().ok()?;
            Some((integration.key.clone(), evaluate(components, &snapshot, integration.when_absent)))
        });
        Some(verdicts.collect())
    }

    pub(super) fn mode(&self) -> Option<CheckMode> {
        self.reflector.mode(&self.cluster.connection().host_display())
    }

    async fn read(&mut self, assignment: &Assignment, failing: bool) -> Result<(), Failure> {
        self.reflector.refresh(&self.cluster, &assignment.queries, failing).await
    }
}

/// What a round brought.
pub(super) struct RoundResult {
    /// `None`: as it was before.
    pub(super) outcome: Option<Outcome>,
    pub(super) access: Option<Access>,
}

impl RoundResult {
    pub(super) fn failed(failure: Failure, access: Option<Access>) -> Self {
        Self { outcome: Some(Outcome::Failed(failure)), access }
    }
}

/// Why there is no outcome: the hub could not be asked, which says nothing of the target.
pub(super) struct HubUnavailable {
    pub(super) error: String,
    /// What was known before.
    pub(super) access: Option<Access>,
}

/// Runs one round. `failing`: the last one failed.
pub(super) async fn run(
    context: &WorkerContext,
    assignment: &Assignment,
    access: Option<Access>,
    failing: bool,
) -> Result<RoundResult, HubUnavailable> {
    let known = access.filter(|access| is_of_this_secret(access, assignment));
    let was_kept = known.as_ref().is_some_and(|access| is_fresh(access, assignment));
    let mut access = match known {
        Some(access) if was_kept => access,
        known => match open(context, assignment, known).await {
            Ok(Ok(access)) => access,
            Ok(Err(failure)) => return Ok(RoundResult::failed(failure, None)),
            // The Secret is due to be read again, and the hub is away: that is no reason to leave the target alone.
            Err(HubUnavailable { error, access: Some(aged) }) => {
                tracing::debug!(target = %assignment.target.key, error, "the Secret can't be read again yet");
                aged
            }
            Err(unavailable) => return Err(unavailable),
        },
    };
    let mut read = access.read(assignment, failing).await;
    if was_kept && read.as_ref().is_err_and(|failure| failure.reason == Reason::Unauthorized) {
        // The credential may have been rotated: look at once, and ask again if it was.
        let former = access.secret_version.clone();
        access = match open(context, assignment, Some(access)).await? {
            Ok(access) => access,
            Err(failure) => return Ok(RoundResult::failed(failure, None)),
        };
        if access.secret_version != former {
            read = access.read(assignment, failing).await;
        }
    }
    Ok(match read {
        Ok(()) => {
            if failing {
                access.judged = None;
            }
            RoundResult { outcome: access.judge(assignment).map(Outcome::Read), access: Some(access) }
        }
        // Read the Secret again before the next round: permanent faults are mended by a new one.
        Err(failure) if !failure.reason.is_transient() => RoundResult::failed(failure, None),
        Err(failure) => RoundResult::failed(failure, Some(access)),
    })
}

/// The Secret was read lately, and hasn't been said to have changed since.
fn is_fresh(access: &Access, assignment: &Assignment) -> bool {
    let seen = &assignment.secret_version;
    let is_known = *seen == access.seen_version || seen.as_ref() == Some(&access.secret_version);
    is_known && Instant::now() < access.reread_at
}

fn is_of_this_secret(access: &Access, assignment: &Assignment) -> bool {
    let (name, key) = &access.secret;
    *name == assignment.target.secret_name && *key == assignment.target.secret_key
}

/// Secret → vetted connection → the one cluster of this target. What was known of it by `former` stays known if it is
/// the same cluster.
async fn open(
    context: &WorkerContext,
    assignment: &Assignment,
    former: Option<Access>,
) -> Result<Result<Access, Failure>, HubUnavailable> {
    let target = &assignment.target;
    let read = async {
        // Never closed, so always got.
        let _turn = context.secret_reads.acquire().await.ok();
        let reading = if former.is_some() { Reading::Newest } else { Reading::Cached };
        read_kubeconfig(&context.hub, target, reading).await
    };
    let secret = match read.await {
        Ok(secret) => secret,
        Err(SecretError::Unusable(failure)) => {
            context.clusters.forget(&target.key);
            return Ok(Err(failure));
        }
        Err(SecretError::Hub(error)) => return Err(HubUnavailable { error, access: former }),
    };
    let connection = match vet(&secret.bytes, &context.policy) {
        Ok(connection) => connection,
        Err(failure) => {
            context.clusters.forget(&target.key);
            return Ok(Err(failure));
        }
    };
    let known = former.filter(|former| former.cluster.connection().is_same_server(&connection));
    let reflector = known.map(|known| known.reflector).unwrap_or_else(|| match context.settings.check_by {
        CheckBy::Auto => Reflector::default(),
        CheckBy::Poll => Reflector::polling(),
    });
    Ok(Ok(Access {
        cluster: context.clusters.ensure(&target.key, connection),
        reflector,
        secret_version: secret.resource_version,
        seen_version: assignment.secret_version.clone(),
        reread_at: Instant::now() + REREAD.mul_f64(1.0 - 0.2 * rand::random::<f64>()),
        secret: (target.secret_name.clone(), target.secret_key.clone()),
        judged: None,
    }))
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
