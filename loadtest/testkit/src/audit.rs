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
    pub stage: String,
    pub verb: String,
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    pub user: AuditUser,
    #[serde(default)]
    pub object_ref: Option<AuditObject>,
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

#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    #[serde(default)]
    pub username: String,
    /// For a token bound to a Pod: the Pod's name and UID.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    pub api_group: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditStatus {
    pub code: u16,
}

impl AuditEvent {
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
    pub fn since(&self, mark: u64) -> io::Result<Vec<AuditEvent>> {
        Ok(self.read(mark)?.into_iter().filter(|event| event.stage == "ResponseComplete").collect())
    }

    /// Returns all requests of a user so far, including watches that are still open.
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
