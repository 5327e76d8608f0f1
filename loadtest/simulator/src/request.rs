//! Parses requests.

use std::time::Duration;

use http::Request;
use http::header::{ACCEPT, AUTHORIZATION};

use super::counts::Purpose;
use super::discovery;

/// A parsed request.
#[derive(Debug, Default)]
pub(super) struct ApiRequest {
    pub(super) path: String,
    pub(super) token: Option<String>,
    /// Whether only metadata is requested: `as=PartialObjectMetadata` or its list.
    pub(super) metadata: bool,
    pub(super) watch: bool,
    pub(super) limit: Option<usize>,
    pub(super) continue_token: Option<String>,
    pub(super) version: Option<u64>,
    pub(super) bookmarks: bool,
    pub(super) initial_events: bool,
    pub(super) timeout: Option<Duration>,
    /// The name in `fieldSelector=metadata.name=…`.
    pub(super) name: Option<String>,
}

impl ApiRequest {
    pub(super) fn parse<B>(request: &Request<B>) -> Self {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let mut parsed = Self {
            path: request.uri().path().to_owned(),
            token: header(AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer ")).map(str::to_owned),
            metadata: header(ACCEPT).is_some_and(|accept| accept.contains("as=PartialObjectMetadata")),
            ..Self::default()
        };
        for (key, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
            let is_true = ["true", "1"].contains(&&*value);
            match &*key {
                "watch" => parsed.watch = is_true,
                "limit" => parsed.limit = value.parse().ok().filter(|limit| *limit > 0),
                "continue" => parsed.continue_token = Some(value.into_owned()),
                "resourceVersion" => parsed.version = value.parse().ok().filter(|version| *version > 0),
                "allowWatchBookmarks" => parsed.bookmarks = is_true,
                "sendInitialEvents" => parsed.initial_events = is_true,
                "timeoutSeconds" => parsed.timeout = value.parse().ok().map(Duration::from_secs),
                "fieldSelector" => parsed.name = value.strip_prefix("metadata.name=").map(str::to_owned),
                _ => {}
            }
        }
        parsed
    }

    pub(super) fn is_liveness(&self) -> bool {
        ["/version", "/livez", "/readyz", "/healthz"].contains(&self.path.as_str())
    }

    pub(super) fn purpose(&self, is_collection: bool, is_named: bool) -> Purpose {
        match (is_collection, self.watch) {
            (true, true) if !self.initial_events => Purpose::Watch,
            (true, _) => Purpose::List,
            _ if self.is_liveness() => Purpose::Liveness,
            _ if is_named || self.path == discovery::PATH => Purpose::Named,
            _ => Purpose::Other,
        }
    }
}
