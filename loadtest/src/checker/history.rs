//! Extracts accepted writes from the audit log, in the order in which they took effect.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::Value;
use testkit::audit::AuditEvent;

const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// One write that changed a ksit object.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// Resulting resourceVersion. All objects of the hub share one counter.
    pub(super) version: u64,
    /// Unix time of the response, in seconds.
    pub(super) at: f64,
    /// UID of the writing Pod; `None` if the writer is not a Pod.
    pub(super) pod: Option<String>,
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) is_status: bool,
    /// The resourceVersion that the writer had read; `None` if its request names none.
    pub(super) base: Option<u64>,
    /// The object after the write.
    pub(super) object: Value,
}

pub(super) fn accepted(events: &[AuditEvent]) -> Vec<Write> {
    let mut writes: Vec<Write> = events.iter().filter_map(write).collect();
    writes.sort_by_key(|write| write.version);
    // A no-op write returns the existing version.
    writes.dedup_by_key(|write| write.version);
    writes
}

fn write(event: &AuditEvent) -> Option<Write> {
    let reference = event.object_ref.as_ref().filter(|reference| reference.api_group == "ksit.io")?;
    // The status of a type depends on its spec alone, so it has no writer and no term.
    if ["integrationtypes", "maintenancewindows"].contains(&reference.resource.as_str()) {
        return None;
    }
    if !["create", "update", "patch"].contains(&event.verb.as_str()) || !(200..300).contains(&event.code()) {
        return None;
    }
    let mut object = event.response_object.clone()?;
    // ksit requests metadata-only responses; the status after a PUT is the one in its body.
    if object["kind"] == "PartialObjectMetadata" && event.verb == "update" {
        object["status"] = event.request_object.as_ref()?["status"].clone();
    }
    let stamp: MicroTime = serde_json::from_value(Value::String(event.stage_timestamp.clone())).ok()?;
    Some(Write {
        version: version(&object)?,
        at: stamp.0.as_microsecond() as f64 / 1e6,
        pod: event.user.extra.get(POD_UID).and_then(|uids| uids.first()).cloned(),
        resource: reference.resource.clone(),
        namespace: reference.namespace.clone(),
        name: object["metadata"]["name"].as_str()?.to_owned(),
        is_status: reference.subresource == "status",
        base: event.request_object.as_ref().and_then(version),
        object,
    })
}

fn version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}
