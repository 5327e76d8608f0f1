//! The claim of a term on the ShardMap.

use tokio::net::TcpListener;
use tokio::time::sleep;

use super::leader_term::{CoordinatorContext, LeadError, RETRY_DELAY};
use super::write_fence::WriteFence;
use crate::domain::coordinator::{Event, ObjectEvent, Shown};
use crate::domain::shard_map::{Contact, PublishedMap};
use crate::hub::{PromptError, StoredMap, conflict_pause};
use crate::reports::TermCertificate;

/// The terms and report epochs in the statuses of the first lists.
pub(super) fn shown(events: &[Event]) -> Shown {
    let mut shown = Shown::default();
    for event in events {
        match event {
            Event::Target(ObjectEvent::Applied(object)) => {
                let status = object.status.as_ref().map(|cached| &cached.status);
                shown.terms.extend(status.and_then(|status| status.term));
                shown.epochs.extend(status.and_then(|status| status.report_epoch));
            }
            Event::Integration(ObjectEvent::Applied(object)) => {
                shown.terms.extend(object.status.as_ref().and_then(|status| status.term));
            }
            _ => {}
        }
    }
    shown
}

/// Claims the term on the map, above every term that statuses show. Tries as long as the lead lasts.
pub(super) async fn claim(
    context: &CoordinatorContext,
    fence: &WriteFence,
    listener: &TcpListener,
    shown: &Shown,
) -> Result<(TermCertificate, StoredMap), LeadError> {
    loop {
        match try_claim(context, fence, listener, shown).await {
            Ok(claimed) => return Ok(claimed),
            Err(ClaimError::Fatal(error)) => return Err(error),
            Err(ClaimError::Hub(PromptError::Conflict)) => sleep(conflict_pause()).await,
            Err(ClaimError::Hub(error)) => {
                context.metrics.term_claims_failed.inc();
                tracing::warn!(%error, "the term can't be claimed on the ShardMap; trying again");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Why the term could not be claimed.
enum ClaimError {
    /// Worth another try.
    Hub(PromptError),
    Fatal(LeadError),
}

async fn try_claim(
    context: &CoordinatorContext,
    fence: &WriteFence,
    listener: &TcpListener,
    shown: &Shown,
) -> Result<(TermCertificate, StoredMap), ClaimError> {
    let over = context.store.read().await.map_err(ClaimError::Hub)?;
    let map = shown.claim(over.as_ref().map(|stored| &stored.published.map));
    let failed = |error: String| ClaimError::Fatal(LeadError::Certificate(error));
    let certificate = TermCertificate::generate(map.term).map_err(|error| failed(error.to_string()))?;
    let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
    let host = context.config.report_host.clone().unwrap_or_else(|| address.ip().to_string());
    let contact = Contact {
        address: format!("{}:{}", if host.contains(':') { format!("[{host}]") } else { host }, address.port()),
        certificate_sha256: certificate.sha256().to_owned(),
    };
    let published = PublishedMap { map, coordinator: context.me.clone(), contact: Some(contact) };
    if !fence.may_write() {
        return Err(ClaimError::Hub(PromptError::Unavailable("the lead is about to run out".to_owned())));
    }
    let stored = context.store.write(&published, over.as_ref()).await.map_err(ClaimError::Hub)?;
    Ok((certificate, stored))
}
