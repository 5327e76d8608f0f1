//! One round of one target: fetch the credential, ask the cluster, judge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::evaluate::evaluate;
use crate::domain::keys::IntegrationKey;
use crate::domain::queries::{first_step, second_step};
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::Snapshot;
use crate::domain::verdict::{Outcome, ToolVerdict};
use crate::hub::{SecretError, read_kubeconfig};
use crate::targets::Cluster;
use crate::targets::kubeconfig::vet;

use super::{Assignment, WorkerContext};

/// A Secret is read again at the latest after this, so that its deletion is noticed; up to a fifth earlier, so that
/// thousands that were read together aren't read together again.
const REREAD: Duration = Duration::from_secs(600);

/// How a target is reached now, and by which Secret.
pub(super) struct Access {
    pub(super) cluster: Arc<Cluster>,
    pub(super) secret_version: String,
    reread_at: Instant,
    /// What of the spec it was made from.
    secret: (String, Option<String>),
}

/// What a round brought.
pub(super) struct RoundResult {
    pub(super) outcome: Outcome,
    pub(super) access: Option<Access>,
}

/// Why there is no outcome: the hub could not be asked, which says nothing of the target.
pub(super) struct HubUnavailable(pub(super) String);

/// Runs one round. `failing`: the last one failed.
pub(super) async fn run(
    context: &WorkerContext,
    assignment: &Assignment,
    access: Option<Access>,
    failing: bool,
) -> Result<RoundResult, HubUnavailable> {
    let kept = access.filter(|access| is_of_this_secret(access, assignment));
    let was_kept = kept.as_ref().is_some_and(is_fresh);
    let access = match kept {
        Some(access) if was_kept => access,
        kept => match (open(context, assignment).await, kept) {
            (Ok(Ok(access)), _) => access,
            (Ok(Err(failure)), _) => return Ok(RoundResult { outcome: Outcome::Failed(failure), access: None }),
            // The Secret is due to be read again, and the hub is away: that is no reason to leave the target alone.
            (Err(HubUnavailable(error)), Some(aged)) => {
                tracing::debug!(target = %assignment.target.key, error, "the Secret can't be read again yet");
                aged
            }
            (Err(unavailable), None) => return Err(unavailable),
        },
    };
    match read(&access.cluster, assignment, failing).await {
        Ok(tools) => Ok(RoundResult { outcome: Outcome::Read(tools), access: Some(access) }),
        Err(failure) if failure.reason == Reason::Unauthorized && was_kept => {
            // The credential may have been rotated: look at once, and ask again if it was.
            match open(context, assignment).await? {
                Ok(renewed) if renewed.secret_version != access.secret_version => {
                    let outcome = match read(&renewed.cluster, assignment, failing).await {
                        Ok(tools) => Outcome::Read(tools),
                        Err(failure) => Outcome::Failed(failure),
                    };
                    Ok(RoundResult { outcome, access: Some(renewed) })
                }
                Ok(_) => Ok(RoundResult { outcome: Outcome::Failed(failure), access: None }),
                Err(failure) => Ok(RoundResult { outcome: Outcome::Failed(failure), access: None }),
            }
        }
        // Read again before the next round: permanent faults are mended by a new Secret.
        Err(failure) if !failure.reason.is_transient() => {
            Ok(RoundResult { outcome: Outcome::Failed(failure), access: None })
        }
        Err(failure) => Ok(RoundResult { outcome: Outcome::Failed(failure), access: Some(access) }),
    }
}

fn is_fresh(access: &Access) -> bool {
    Instant::now() < access.reread_at
}

fn is_of_this_secret(access: &Access, assignment: &Assignment) -> bool {
    let target = &assignment.target;
    access.secret == (target.secret_name.clone(), target.secret_key.clone())
}

/// Secret → vetted connection → the one cluster of this target.
async fn open(context: &WorkerContext, assignment: &Assignment) -> Result<Result<Access, Failure>, HubUnavailable> {
    let target = &assignment.target;
    let secret = match read_kubeconfig(&context.hub, target).await {
        Ok(secret) => secret,
        Err(SecretError::Unusable(failure)) => {
            context.clusters.forget(&target.key);
            return Ok(Err(failure));
        }
        Err(SecretError::Hub(error)) => return Err(HubUnavailable(error)),
    };
    let opened = vet(&secret.bytes, &context.policy).map(|connection| Access {
        cluster: context.clusters.ensure(&target.key, connection),
        secret_version: secret.resource_version,
        reread_at: Instant::now() + REREAD.mul_f64(1.0 - 0.2 * rand::random::<f64>()),
        secret: (target.secret_name.clone(), target.secret_key.clone()),
    });
    if opened.is_err() {
        context.clusters.forget(&target.key);
    }
    Ok(opened)
}

async fn read(
    cluster: &Cluster,
    assignment: &Assignment,
    failing: bool,
) -> Result<Vec<(IntegrationKey, ToolVerdict)>, Failure> {
    let mut snapshot: Snapshot = cluster.read(&first_step(assignment.components()), failing).await?;
    let more = second_step(&snapshot);
    if !more.is_empty() {
        snapshot.extend(cluster.read(&more, failing).await?);
    }
    let verdicts = assignment.integrations.iter().filter_map(|integration| {
        let components = integration.components.as_ref().ok()?;
        Some((integration.key.clone(), evaluate(components, &snapshot, integration.when_absent)))
    });
    Ok(verdicts.collect())
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
