//! Renews the token in a target's Secret, before it ends and with itself.
//!
//! ```text
//! round ─ due? ─ read the Secret ─ TokenRequest to the target ─ write the Secret ─ present it on the open connection
//! ```
//!
//! The owner of a target renews its token. While two replicas believe to own it, the Secret's version lets one write.

use jiff::Timestamp;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::WorkerContext;
use super::round::{Access, read_secret};
use crate::domain::credential::Validity;
use crate::domain::desired::DesiredTarget;
use crate::domain::reason::{Failure, Reason};
use crate::domain::renewal::Renewal;
use crate::hub::{SecretError, write_kubeconfig};
use crate::targets::kubeconfig::{vet, with_token};
use crate::targets::{NewToken, new_token};

/// The renewal that a Secret asks for; an error if it can't be.
pub(super) type Renewing = Option<Result<Renewal, Failure>>;

/// `ttl`: the annotation of the Secret. `validity`: that of its token.
pub(super) fn renewing(context: &WorkerContext, ttl: Option<&str>, validity: Option<Validity>) -> Renewing {
    let ttl = ttl?;
    if context.settings.renew_tokens {
        return Some(Renewal::new(ttl, validity, rand::random()));
    }
    let why = "the operator renews no tokens: set --renew-tokens (config.renewTokens in the values of its chart)";
    Some(Err(Failure::new(Reason::RenewalFailed, why)))
}

/// Why the token is not renewed, if somebody has to do something.
pub(super) fn complaint(renewing: &Renewing, now: Timestamp) -> Option<&Failure> {
    match renewing.as_ref()? {
        Ok(renewal) => renewal.complaint(now),
        Err(failure) => Some(failure),
    }
}

/// Time of the next attempt.
pub(super) fn due(renewing: &Renewing) -> Option<Instant> {
    let due = renewing.as_ref()?.as_ref().ok()?.due();
    Some(Instant::now() + due.duration_since(Timestamp::now()).try_into().unwrap_or_default())
}

/// Renews the token if it is time to.
pub(super) async fn renew_if_due(access: &mut Access, context: &WorkerContext, target: &DesiredTarget) {
    let now = Timestamp::now();
    let Some(Ok(renewal)) = &access.renewing else { return };
    if now < renewal.due() {
        return;
    }
    let result = renew(access, context, target, renewal).await;
    let Some(Ok(renewal)) = &mut access.renewing else { return };
    match result {
        Ok((validity, version)) => {
            tracing::info!(target = %target.key, until = %validity.until, "renewed the token of the target");
            access.secret_version = Some(version);
            renewal.succeeded(validity, now, rand::random());
        }
        Err(failure) => {
            tracing::warn!(target = %target.key, message = failure.message, "the token of the target can't be renewed yet");
            renewal.failed(failure, now, rand::random());
            // It may have been replaced.
            access.reread_at = std::time::Instant::now();
        }
    }
}

/// Validity of the new token, and version of its Secret.
async fn renew(
    access: &Access,
    context: &WorkerContext,
    target: &DesiredTarget,
    renewal: &Renewal,
) -> Result<(Validity, String), Failure> {
    let secret = match read_secret(context, target, true).await {
        Ok(secret) => secret,
        Err(SecretError::Unusable(failure)) => return Err(failure),
        Err(SecretError::Hub(error)) => {
            return Err(passing(format!("Secret {} can't be read from the hub: {error}", target.secret_name)));
        }
    };
    let changed = || passing(format!("Secret {} has changed meanwhile", target.secret_name));
    if access.secret_version.as_ref() != Some(&secret.resource_version) {
        return Err(changed());
    }
    let NewToken { token, validity } = new_token(&access.cluster, renewal.ttl()).await?;
    let kubeconfig = with_token(&secret.bytes, &token)?;
    let next = vet(kubeconfig.expose_secret().as_bytes(), &context.policy)?;
    let written = write_kubeconfig(&context.hub, target, &secret, &kubeconfig).await;
    let version = written.map_err(|error| Failure::new(Reason::RenewalFailed, error))?.ok_or_else(changed)?;
    access.cluster.connection().adopt_token(&next);
    Ok((validity, version))
}

/// A fault that may pass before the token ends.
fn passing(message: String) -> Failure {
    Failure::new(Reason::TokenUnavailable, message)
}
