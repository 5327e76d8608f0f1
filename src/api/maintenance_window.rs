//! Defines `MaintenanceWindow`: times at which faults of clusters are expected.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{conditions, duration, required_label_selector};

/// Times at which faults of clusters are expected.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ksit.io",
    version = "v1alpha1",
    kind = "MaintenanceWindow",
    namespaced,
    status = "MaintenanceWindowStatus",
    shortname = "mw",
    category = "ksit",
    doc = "Times at which faults of clusters are expected: nobody is notified. Checks go on, and phases are shown as they are.",
    printcolumn = r#"{"name":"Schedule","type":"string","jsonPath":".spec.schedule"}"#,
    printcolumn = r#"{"name":"Duration","type":"string","jsonPath":".spec.duration"}"#,
    printcolumn = r#"{"name":"Zone","type":"string","jsonPath":".spec.timeZone"}"#,
    printcolumn = r#"{"name":"From","type":"string","jsonPath":".spec.from"}"#,
    printcolumn = r#"{"name":"Until","type":"string","jsonPath":".spec.until"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type=='Accepted')].status"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Accepted')].message","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.schedule) != (has(self.from) || has(self.until))")
    .message("give either schedule and duration, or from and until"))]
#[x_kube(validation = Rule::new("has(self.schedule) == has(self.duration)")
    .message("schedule and duration need each other"))]
#[x_kube(validation = Rule::new("has(self.from) == has(self.until)").message("from and until need each other"))]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)")
    .message("timeZone is for schedule; from and until have their own offsets"))]
#[x_kube(validation = Rule::new("!has(self.from) || !has(self.until) || timestamp(self.from) < timestamp(self.until)")
    .message("until must be later than from"))]
pub struct MaintenanceWindowSpec {
    /// Clusters, by labels of IntegrationTargets in the same namespace. An empty selector selects all.
    #[schemars(schema_with = "required_label_selector")]
    pub target_selector: LabelSelector,
    /// Integrations whose faults are expected, by name. Absent: all, and that the cluster can't be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub integrations: Vec<String>,
    /// Starts of the window as a cron expression of five fields: minute, hour, day of month, month, day of week. A start
    /// that a change to summer time skips is at the first time after the gap; one that occurs twice counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 128), regex(pattern = r"^[0-9A-Za-z*,/#?-]+( +[0-9A-Za-z*,/#?-]+){4}$"))]
    pub schedule: Option<String>,
    /// How long each window lasts: from 1m to 168h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m') && duration(self) <= duration('168h')")
        .message("duration must be from 1m to 168h"))]
    pub duration: Option<String>,
    /// Time zone of the schedule, such as `Europe/Berlin`. Defaults to UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: Option<String>,
    /// Start of a window that occurs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub from: Option<String>,
    /// End of that window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub until: Option<String>,
}

/// Whether ksit can use the window. The clusters that it covers show it in `status.maintenance`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MaintenanceWindowStatus {
    /// `Accepted`: the spec is valid; if False, the message names the field.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this status is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
