//! Defines `Notifier`: messages about broken tools, and where they are sent.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{alert_labels, conditions, duration, label_selector, receiver_url, word};

/// Messages about tools that do not work, and the receiver of them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ksit.io",
    version = "v1alpha1",
    kind = "Notifier",
    namespaced,
    status = "NotifierStatus",
    category = "ksit",
    doc = "Messages about tools that do not work, one for each cause, to Alertmanager, a webhook, Slack or Teams.",
    printcolumn = r#"{"name":"Open","type":"integer","jsonPath":".status.openCauses","description":"causes that the receiver knows of and that have not ended"}"#,
    printcolumn = r#"{"name":"Delivered","type":"string","jsonPath":".status.conditions[?(@.type=='Delivered')].status","description":"whether the last message arrived"}"#,
    printcolumn = r#"{"name":"Last","type":"date","jsonPath":".status.lastDeliveryTime","description":"when the last message arrived"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Delivered')].message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = crate::api::crds::term_rule()
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.alertmanager), has(self.webhook), has(self.slack), has(self.teams)]\
    .filter(given, given).size() == 1")
    .message("give exactly one of alertmanager, webhook, slack and teams"))]
pub struct NotifierSpec {
    /// Integrations to report, by name. Absent: all of the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub integrations: Vec<String>,
    /// Types of the Integrations to report, such as `argocd`. Absent: all. Given with `integrations`, either suffices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub types: Vec<String>,
    /// Clusters to report, by labels of IntegrationTargets. Absent: all of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub target_selector: Option<LabelSelector>,
    /// Phases to report. Defaults to `Failed`.
    #[serde(default = "failed")]
    #[schemars(length(min = 1, max = 3))]
    pub phases: Vec<ReportedPhase>,
    /// How long a tool must have been in such a phase before it is reported: from 0s to 24h. Defaults to 2m.
    #[serde(default = "two_minutes")]
    #[schemars(schema_with = "duration")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("after must be at most 24h"))]
    pub after: String,
    /// How long no cluster may have the cause before the recovery is reported: from 0s to 24h. Defaults to 1m.
    #[serde(default = "one_minute")]
    #[schemars(schema_with = "duration")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("recoveredAfter must be at most 24h"))]
    pub recovered_after: String,
    /// Repeats the message about a cause that lasts: every 10m to 168h. Absent: never. Alertmanager has its own
    /// `repeat_interval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10m') && duration(self) <= duration('168h')")
        .message("remindEvery must be from 10m to 168h"))]
    pub remind_every: Option<String>,
    /// Messages a minute at most; the last one of a minute sums up those beyond. Defaults to 10. Alertmanager gets all
    /// alerts in one request.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 600))]
    pub max_per_minute: u32,
    /// Sends alerts to Alertmanager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<AlertmanagerReceiver>,
    /// Sends CloudEvents to any HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookReceiver>,
    /// Sends messages to a channel of Slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<ChatReceiver>,
    /// Sends adaptive cards to a channel of Microsoft Teams, by a Workflow that starts with a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teams: Option<ChatReceiver>,
}

/// A phase that a Notifier reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReportedPhase {
    /// The tool is broken, or the cluster can't be read.
    Failed,
    /// The tool works, but needs attention.
    Degraded,
    /// ksit has not looked for too long.
    Unknown,
}

/// An Alertmanager with API v2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.bearerTokenSecretRef) || self.url.startsWith('https://')")
    .message("a bearer token is only sent to an https:// URL"))]
pub struct AlertmanagerReceiver {
    /// URL before `/api/v2/alerts`, such as `http://alertmanager.monitoring:9093`.
    #[schemars(schema_with = "receiver_url")]
    pub url: String,
    /// Labels that are added to each alert, such as `team`. They replace ksit's own of the same name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "alert_labels")]
    pub labels: BTreeMap<String, String>,
    /// Bearer token to present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret_ref: Option<SecretKeyRef>,
    /// CA certificates in PEM that are trusted instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// An HTTP server that takes CloudEvents 1.0 in structured JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.bearerTokenSecretRef) || self.url.startsWith('https://')")
    .message("a bearer token is only sent to an https:// URL"))]
pub struct WebhookReceiver {
    /// URL to which events are posted.
    #[schemars(schema_with = "receiver_url")]
    pub url: String,
    /// Key with which the body is signed: the header `X-Ksit-Signature` has `sha256=` and the HMAC-SHA256 in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac_secret_ref: Option<SecretKeyRef>,
    /// Bearer token to present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_secret_ref: Option<SecretKeyRef>,
    /// CA certificates in PEM that are trusted instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// A channel of a chat, whose URL is a credential.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChatReceiver {
    /// URL of the incoming webhook.
    pub url_secret_ref: SecretKeyRef,
}

/// One key of a Secret in the namespace of the Notifier. The Secret must have the type `ksit.io/notifier`: whoever may
/// write Notifiers must not have other Secrets sent to a server of theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn failed() -> Vec<ReportedPhase> {
    vec![ReportedPhase::Failed]
}

fn two_minutes() -> String {
    "2m".to_owned()
}

fn one_minute() -> String {
    "1m".to_owned()
}

fn ten() -> u32 {
    10
}

/// Causes that the receiver knows of. Written before a message is sent and after it has arrived, so that the next
/// coordinator goes on where the last one stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NotifierStatus {
    /// `Accepted`: the spec is valid. `Delivered`: the last message arrived; if False, the message has the cause.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Number of causes below.
    pub open_causes: u32,
    /// Causes that have been reported or are about to be, and have not ended; at most 100.
    #[schemars(length(max = 100))]
    pub open: Vec<OpenCause>,
    /// Time when the last message arrived that reported something new.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_delivery_time: Option<String>,
    /// Generation of the spec that this status is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Term of the coordinator that wrote this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub coordinator_term: Option<i64>,
    /// Installation of ksit that manages this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub managed_by: Option<String>,
}

/// A cause: all clusters on which one tool has one phase for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenCause {
    /// Deduplication key of its messages.
    #[schemars(length(max = 64))]
    pub key: String,
    /// Name of the Integration; absent for clusters that can't be read at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub integration: Option<String>,
    /// Type of the Integration.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub type_: Option<String>,
    #[schemars(schema_with = "word")]
    pub phase: String,
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Time since which the first cluster has had it.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Number of clusters in the last message that arrived; absent until one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notified_clusters: Option<u32>,
    /// Time of that message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub notified_time: Option<String>,
    /// Number of messages that have arrived.
    pub messages: u32,
}
