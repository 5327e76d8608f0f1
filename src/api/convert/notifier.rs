//! Validates Notifiers and converts them to the domain, and their records to statuses and back.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::keys::object_key;
use super::spec::{duration, selector};
use super::status::time;
use crate::api::{Notifier, NotifierSpec, NotifierStatus, OpenCause, ReportedPhase, SecretKeyRef};
use crate::domain::notify::{Cause, Receiver, Record, RecordedCause, SecretKey, Spec, Standing, Told};
use crate::domain::reason::Reason;
use crate::domain::replica::Term;
use crate::domain::verdict::Phase;

const DAY: Duration = Duration::from_secs(24 * 3_600);

const ACCEPTED: &str = "Accepted";
const DELIVERED: &str = "Delivered";

/// The Notifier that a user described.
///
/// # Errors
/// A sentence that names the field.
pub fn notifier(object: &Notifier) -> Result<Spec, String> {
    let spec = &object.spec;
    let remind = |text: &String| duration("spec.remindEvery", text, Duration::from_secs(600)..=7 * DAY);
    let phases = spec.phases.iter().map(|phase| match phase {
        ReportedPhase::Failed => Phase::Failed,
        ReportedPhase::Degraded => Phase::Degraded,
        ReportedPhase::Unknown => Phase::Unknown,
    });
    Ok(Spec {
        key: object_key(object).into(),
        generation: object.metadata.generation.unwrap_or(0),
        integrations: spec.integrations.iter().cloned().collect(),
        types: spec.types.iter().cloned().collect(),
        selector: spec.target_selector.as_ref().map(selector).transpose()?,
        phases: phases.collect(),
        after: duration("spec.after", &spec.after, Duration::ZERO..=DAY)?,
        recovered_after: duration("spec.recoveredAfter", &spec.recovered_after, Duration::ZERO..=DAY)?,
        remind_every: spec.remind_every.as_ref().map(remind).transpose()?,
        max_per_minute: spec.max_per_minute.max(1),
        receiver: receiver(spec)?,
    })
}

fn receiver(spec: &NotifierSpec) -> Result<Receiver, String> {
    let secret = |reference: &Option<SecretKeyRef>| reference.as_ref().map(secret_key);
    let NotifierSpec { alertmanager, webhook, slack, teams, .. } = spec;
    let receiver = match (alertmanager, webhook, slack, teams) {
        (Some(given), None, None, None) => Receiver::Alertmanager {
            url: given.url.clone(),
            labels: given.labels.clone(),
            token: secret(&given.bearer_token_secret_ref),
            ca: secret(&given.ca_secret_ref),
        },
        (None, Some(given), None, None) => Receiver::Webhook {
            url: given.url.clone(),
            hmac: secret(&given.hmac_secret_ref),
            token: secret(&given.bearer_token_secret_ref),
            ca: secret(&given.ca_secret_ref),
        },
        (None, None, Some(given), None) => Receiver::Slack { url: secret_key(&given.url_secret_ref) },
        (None, None, None, Some(given)) => Receiver::Teams { url: secret_key(&given.url_secret_ref) },
        _ => return Err("spec: give exactly one of alertmanager, webhook, slack and teams".to_owned()),
    };
    Ok(receiver)
}

fn secret_key(reference: &SecretKeyRef) -> SecretKey {
    SecretKey { name: reference.name.clone(), key: reference.key.clone() }
}

/// The status as it is stored.
pub fn stored_notifier_status(record: Record, term: Term, managed_by: &str) -> NotifierStatus {
    let Record { generation, accepted, delivered, last_delivery, open } = record;
    let conditions = [(ACCEPTED, accepted), (DELIVERED, delivered)];
    let condition = |(kind, standing): (&str, Option<Standing>)| {
        let Standing { holds, reason, message, since } = standing?;
        Some(Condition {
            type_: kind.to_owned(),
            status: if holds { "True" } else { "False" }.to_owned(),
            reason,
            message,
            last_transition_time: Time(since),
            observed_generation: Some(generation),
        })
    };
    NotifierStatus {
        conditions: conditions.into_iter().filter_map(condition).collect(),
        open_causes: u32::try_from(open.len()).unwrap_or(u32::MAX),
        open: open.into_iter().map(stored_cause).collect(),
        last_delivery_time: last_delivery.map(|time| time.to_string()),
        observed_generation: Some(generation),
        coordinator_term: Some(term.0),
        managed_by: Some(managed_by.to_owned()),
    }
}

fn stored_cause(recorded: RecordedCause) -> OpenCause {
    let RecordedCause { cause: Cause { integration, phase, reason }, key, type_name, since, told } = recorded;
    OpenCause {
        key,
        integration,
        type_: type_name,
        phase: phase.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        since: since.to_string(),
        notified_clusters: told.as_ref().map(|told| told.clusters),
        notified_time: told.as_ref().map(|told| told.at.to_string()),
        messages: told.map_or(0, |told| told.messages),
    }
}

/// A stored status, as far as it can be read.
pub fn notifier_record(stored: &NotifierStatus) -> Record {
    let standing = |kind: &str| {
        let condition = stored.conditions.iter().find(|condition| condition.type_ == kind)?;
        let Condition { status, reason, message, last_transition_time: Time(since), .. } = condition;
        let (reason, message) = (reason.clone(), message.clone());
        Some(Standing { holds: status == "True", reason, message, since: *since })
    };
    Record {
        generation: stored.observed_generation.unwrap_or(0),
        accepted: standing(ACCEPTED),
        delivered: standing(DELIVERED),
        last_delivery: time(stored.last_delivery_time.as_deref()),
        open: stored.open.iter().filter_map(cause).collect(),
    }
}

fn cause(stored: &OpenCause) -> Option<RecordedCause> {
    let OpenCause { key, integration, type_, phase, reason, since, notified_clusters, notified_time, messages } =
        stored;
    let told = |at: Timestamp| Told { at, clusters: notified_clusters.unwrap_or(0), messages: *messages };
    Some(RecordedCause {
        cause: Cause { integration: integration.clone(), phase: Phase::read(phase)?, reason: Reason::read(reason)? },
        key: key.clone(),
        type_name: type_.clone(),
        since: time(Some(since))?,
        told: time(notified_time.as_deref()).map(told),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(spec: Value) -> Result<Spec, String> {
        let object = json!({"apiVersion": "ksit.io/v1alpha1", "kind": "Notifier",
            "metadata": {"name": "chat", "namespace": "fleet", "generation": 3}, "spec": spec});
        notifier(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn defaults_report_failed_tools_after_two_minutes() {
        let spec = read(json!({"slack": {"urlSecretRef": {"name": "slack", "key": "url"}}})).unwrap();
        assert_eq!(spec.phases, [Phase::Failed].into());
        assert_eq!((spec.after.as_secs(), spec.recovered_after.as_secs(), spec.remind_every), (120, 60, None));
        assert_eq!((spec.max_per_minute, spec.generation), (10, 3));
    }

    #[test]
    fn faults_name_the_field() {
        let slack = json!({"urlSecretRef": {"name": "slack", "key": "url"}});
        for (spec, start) in [
            (json!({}), "spec: give exactly one"),
            (json!({"slack": slack, "teams": slack}), "spec: give exactly one"),
            (json!({"slack": slack, "after": "soon"}), "spec.after: \"soon\""),
            (json!({"slack": slack, "recoveredAfter": "25h"}), "spec.recoveredAfter: \"25h\""),
            (json!({"slack": slack, "remindEvery": "1s"}), "spec.remindEvery: \"1s\""),
        ] {
            let error = read(spec.clone()).unwrap_err();
            assert!(error.starts_with(start), "{spec}: {error}");
        }
    }

    #[test]
    fn status_is_read_back_as_it_was_written() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let cause = |integration: Option<&str>, told| RecordedCause {
            cause: Cause {
                integration: integration.map(str::to_owned),
                phase: Phase::Failed,
                reason: Reason::TimedOut,
            },
            key: "00ff".to_owned(),
            type_name: integration.map(|_| "argocd".to_owned()),
            since: at(1_000),
            told,
        };
        let told = Told { at: at(1_200), clusters: 7, messages: 2 };
        let record = Record {
            generation: 3,
            accepted: Some(Standing::after(None, true, "Accepted", "the spec is valid".to_owned(), at(900))),
            delivered: Some(Standing::after(None, false, "TimedOut", "am:9093 did not answer".to_owned(), at(1_300))),
            last_delivery: Some(at(1_200)),
            open: vec![cause(Some("cd"), Some(told)), cause(None, None)],
        };
        let stored = stored_notifier_status(record.clone(), Term(4), "ksit-system/ksit");
        assert_eq!((stored.open_causes, stored.coordinator_term), (2, Some(4)));
        assert_eq!(notifier_record(&stored), record);
    }
}
