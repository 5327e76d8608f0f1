//! The body of a response, with its status code.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

/// A status code and a body in pieces that may be shared.
pub(super) struct Body {
    pub(super) status: StatusCode,
    pub(super) pieces: Vec<Bytes>,
    pub(super) retry_after: Option<Duration>,
}

impl Body {
    pub(super) fn new(status: StatusCode, pieces: Vec<Bytes>) -> Self {
        Self { status, pieces, retry_after: None }
    }

    pub(super) fn json(text: String) -> Self {
        Self::new(StatusCode::OK, vec![text.into()])
    }

    pub(super) fn failure(status: StatusCode, reason: &str, message: &str) -> Self {
        Self::new(status, vec![self::status(status.as_u16(), reason, message).into()])
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

/// A Kubernetes API `Status`.
pub(super) fn status(code: u16, reason: &str, message: &str) -> String {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code })
    .to_string()
}
