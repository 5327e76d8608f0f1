//! `ksit target NAME`

use kube::Api;
use kube::ResourceExt;
use serde::Serialize;

use super::pause::REASON;
use crate::api::{
    ComponentStatus, FailingObject, IntegrationResult, IntegrationTarget, IntegrationTargetSpec,
    IntegrationTargetStatus, MaintenanceStatus, ResourceCounts,
};
use crate::cli::CliError;
use crate::cli::hub::{Hub, HubArgs, Shown};
use crate::cli::table::table;
use crate::domain::escape::escape;
use crate::domain::status::CREDENTIAL_EXPIRING;
use crate::hub::is_absent;

pub(super) async fn run(name: &str, hub: &HubArgs) -> Result<(), CliError> {
    hub.show(async |hub: Hub| {
        let api: Api<IntegrationTarget> = hub.api(false);
        let found = match api.get(name).await {
            Err(error) if is_absent(&error) => None,
            found => Some(found.map_err(|error| hub.fault(&error))?),
        };
        let namespace = &hub.namespace;
        let target = found.ok_or_else(|| {
            format!("there is no IntegrationTarget {name} in namespace {namespace}; set its namespace with -n")
        })?;
        Ok(Target {
            namespace: target.namespace().unwrap_or_default(),
            name: target.name_any(),
            pause_reason: target.annotations().get(REASON).cloned(),
            spec: target.spec,
            status: target.status.unwrap_or_default(),
        })
    })
    .await?;
    Ok(())
}

#[derive(Serialize)]
struct Target {
    namespace: String,
    name: String,
    #[serde(rename = "pauseReason", skip_serializing_if = "Option::is_none")]
    pause_reason: Option<String>,
    spec: IntegrationTargetSpec,
    status: IntegrationTargetStatus,
}

impl Shown for Target {
    fn text(&self, wide: bool) -> String {
        let status = &self.status;
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "<none>".to_owned());
        let reach = status.condition("Reachable");
        let mut text = String::new();
        for (label, value) in [
            ("Name", format!("{}/{}", self.namespace, self.name)),
            ("Cluster", self.spec.cluster_name.clone()),
            ("Server", or_none(&status.server)),
            ("Phase", or_none(&status.phase)),
            ("Healthy", or_none(&status.healthy)),
            ("Reachable", reach.map_or("<none>".to_owned(), |c| format!("{} ({}): {}", c.status, c.reason, c.message))),
            ("Replica", or_none(&status.reported_by)),
            ("Changed", or_none(&status.last_sync_time)),
        ] {
            text.push_str(&format!("{:<12}{}\n", format!("{label}:"), escape(&value)));
        }
        if let Some(expiring) = status.condition(CREDENTIAL_EXPIRING) {
            text.push_str(&format!("{:<12}{}\n", "Credential:", escape(&expiring.message)));
        }
        if let Some(MaintenanceStatus { name, until, integrations }) = &status.maintenance {
            let which =
                if integrations.is_empty() { String::new() } else { format!(", for {}", integrations.join(", ")) };
            let value = format!("{name} until {until}{which}");
            text.push_str(&format!("Maintenance: {}\n", escape(&value)));
        }
        if let Some(reason) = &self.pause_reason {
            text.push_str(&format!("{:<12}{}\n", "Paused for:", escape(reason)));
        }
        text.push('\n');
        let rows: Vec<Vec<String>> = status.integrations.iter().flat_map(|result| lines(result, wide)).collect();
        text + &table(&["INTEGRATION", "TYPE", "PHASE", "MESSAGE"], &rows)
    }
}

/// The tool, followed by its unhealthy components, or all with `wide`.
fn lines(result: &IntegrationResult, wide: bool) -> Vec<Vec<String>> {
    let message = result.message.clone().unwrap_or_default();
    let own = vec![result.name.clone(), result.type_.clone(), result.phase.clone(), message];
    let is_shown = |seen: &&ComponentStatus| wide || !matches!(seen.state.as_str(), "Healthy" | "NotInUse");
    let healthy = result.healthy_components.iter().filter(|_| wide).map(|words| healthy_component(words));
    let components = result.components.iter().filter(is_shown).map(component).chain(healthy);
    let managed = result.resources.iter().flat_map(|counts| managed(counts, wide));
    std::iter::once(own).chain(components).chain(managed).collect()
}

/// The managed objects of a kind, followed by failing ones; nothing if none fails, unless `wide`.
fn managed(counts: &ResourceCounts, wide: bool) -> Vec<Vec<String>> {
    let ResourceCounts { kind, total, failing, progressing, suspended, unknown, worst, message } = counts;
    if *failing == 0 && *unknown == 0 && message.is_none() && !wide {
        return Vec::new();
    }
    let parts = [(failing, "failing"), (unknown, "unknown"), (progressing, "progressing"), (suspended, "suspended")];
    let parts = parts.into_iter().filter(|(count, _)| **count > 0).map(|(count, state)| format!("{count} {state}"));
    let mut words: Vec<String> = std::iter::once(format!("{total} in all")).chain(parts).collect();
    words.extend(message.clone());
    let state = if *failing > 0 { "Failing" } else { "" };
    let own = vec![format!("  {kind}"), "managed".to_owned(), state.to_owned(), words.join(", ")];
    let object = |object: &FailingObject| {
        let since = object.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
        let reason = object.reason.clone().unwrap_or_default();
        vec![
            format!("    {}", object.place()),
            kind.clone(),
            "Failing".to_owned(),
            format!("{reason}{since}").trim().to_owned(),
        ]
    };
    std::iter::once(own).chain(worst.iter().map(object)).collect()
}

fn component(seen: &ComponentStatus) -> Vec<String> {
    let counts = match (seen.ready, seen.desired) {
        (Some(ready), Some(desired)) => format!("{ready}/{desired} "),
        (Some(ready), None) => format!("{ready} "),
        _ => String::new(),
    };
    let note = seen.message.as_deref().unwrap_or_default();
    vec![format!("  {}", seen.name), seen.kind.clone(), seen.state.clone(), format!("{counts}{note}").trim().to_owned()]
}

/// Splits a summary from the status: kind, namespace/name, and readiness.
fn healthy_component(words: &str) -> Vec<String> {
    let mut words = words.splitn(3, ' ').map(str::to_owned);
    let (kind, place) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let name = place.rsplit_once('/').map_or(place.as_str(), |(_, name)| name);
    vec![format!("  {name}"), kind, "Healthy".to_owned(), words.next().unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cli::table::assert_harmless;

    proptest! {
        #[test]
        fn target_shows_any_status_harmlessly(name: String, words: String, message: String) {
            let condition = |type_: &str| json!({ "type": type_, "status": name, "reason": words, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z" });
            let component = json!({ "kind": words, "name": name, "state": words, "message": message });
            let status = json!({ "phase": words, "server": name, "healthy": words, "reportedBy": name,
                "conditions": [condition("Reachable"), condition(CREDENTIAL_EXPIRING)],
                "integrations": [{ "name": name, "type": words, "phase": words, "reason": words, "message": message,
                    "components": [component], "healthyComponents": [message],
                    "resources": [{ "kind": words, "failing": 1, "message": message,
                        "worst": [{ "namespace": words, "name": name, "reason": message, "since": words }] }] }] });
            let spec = json!({ "clusterName": name });
            let target = Target {
                pause_reason: None,
                namespace: name,
                name: words,
                spec: serde_json::from_value(spec).unwrap(),
                status: serde_json::from_value(status).unwrap(),
            };
            [false, true].iter().for_each(|wide| assert_harmless(&target.text(*wide)));
        }
    }
}
