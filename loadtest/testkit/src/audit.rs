//! Reads an API server's requests from its audit log.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

/// The audit log of one API server. A request appears once it has been answered.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

/// One request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `ResponseStarted` for a watch that is open, `ResponseComplete` for an answered request.
    pub stage: String,
    /// The verb of RBAC, such as `list`, `watch` or `patch`.
    pub verb: String,
    /// Path and query as sent.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// The authenticated sender.
    pub user: AuditUser,
    /// `None` for requests without a resource, such as /version.
    #[serde(default)]
    pub object_ref: Option<AuditObject>,
    /// `None` until the response begins.
    #[serde(default)]
    pub response_status: Option<AuditStatus>,
    /// The body of a write, if the audit policy logs it.
    #[serde(default)]
    pub request_object: Option<Value>,
    /// The object after the write, if the audit policy logs it.
    #[serde(default)]
    pub response_object: Option<Value>,
    /// RFC 3339 with microseconds.
    pub request_received_timestamp: String,
    /// Time at which the response was complete.
    pub stage_timestamp: String,
}

/// The sender of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    /// As in RBAC: `system:serviceaccount:NAMESPACE:NAME` for a ServiceAccount.
    #[serde(default)]
    pub username: String,
    /// For a token bound to a Pod: the Pod's name and UID.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The object or collection of a request; parts that it does not have are empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    /// The plural, such as `integrationtargets`.
    pub resource: String,
    /// Empty for cluster-scoped objects and lists across namespaces.
    pub namespace: String,
    /// Empty for lists, watches and creations.
    pub name: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for the core group.
    pub api_group: String,
}

/// The response of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditStatus {
    /// The HTTP status code.
    pub code: u16,
}

impl AuditEvent {
    /// The HTTP status code; 0 until the response begins.
    pub fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |status| status.code)
    }
}

impl Audit {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Current end of the log, for [`Audit::since`].
    pub fn mark(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Returns the answered requests after `mark`, oldest first. Skips a last line that is still being written.
    ///
    /// # Errors
    /// Fails if the log can't be read or a line of it is not an audit event.
    pub fn since(&self, mark: u64) -> io::Result<Vec<AuditEvent>> {
        Ok(self.read(mark)?.into_iter().filter(|event| event.stage == "ResponseComplete").collect())
    }

    /// Returns all requests of a user so far, including watches that are still open.
    ///
    /// # Errors
    /// Fails if the log can't be read or a line of it is not an audit event.
    pub fn begun_by(&self, user: &str) -> io::Result<Vec<AuditEvent>> {
        let has_begun = |event: &AuditEvent| {
            let stage = if event.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
            event.user.username == user && event.stage == stage
        };
        Ok(self.read(0)?.into_iter().filter(has_begun).collect())
    }

    fn read(&self, mark: u64) -> io::Result<Vec<AuditEvent>> {
        let bytes = fs::read(&self.path)?;
        let from = usize::try_from(mark).map_err(io::Error::other)?.min(bytes.len());
        bytes[from..]
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.ends_with(b"\n"))
            .map(|line| serde_json::from_slice::<AuditEvent>(line).map_err(io::Error::other))
            .collect()
    }
}
