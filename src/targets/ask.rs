//! A request to a target.

use hyper::body::Bytes;

/// A GET, or a POST of JSON if it has a body.
pub(super) struct Ask<'a> {
    /// With its query.
    pub path: &'a str,
    pub accept: &'static str,
    /// Empty for a GET.
    pub body: Bytes,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str, accept: &'static str) -> Self {
        Self { path, accept, body: Bytes::new() }
    }
}
