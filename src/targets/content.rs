//! The body of a response, whatever the HTTP version.

use std::future::poll_fn;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::fault::{http1_failure, http2_failure};
use super::http2::Http2Body;
use crate::domain::reason::Failure;

/// The body of a response.
pub(super) enum Content {
    Http1(Incoming),
    Http2(Http2Body),
}

impl Content {
    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self, host: &str) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Http1(body) => loop {
                let Some(frame) = body.frame().await else { return Ok(None) };
                // Skip trailers.
                if let Ok(data) = frame.map_err(|error| http1_failure(host, &error))?.into_data() {
                    return Ok(Some(data));
                }
            },
            Self::Http2(body) => {
                let data = poll_fn(|context| body.poll_data(context)).await;
                data.transpose().map_err(|error| http2_failure(host, &error))
            }
        }
    }
}

/// The declared length, or 0.
pub(super) fn content_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or_default()
}

/// Whether the body is compressed, which ksit does not ask for.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity")
}

/// The time in a header `Date`.
pub(super) fn date(header: &HeaderValue) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(header.to_str().ok()?).ok()?.timestamp())
}
