//! What a request asks for.

use std::time::Duration;

use http::Request;
use http::header::{ACCEPT, AUTHORIZATION};

use super::counts::Purpose;

/// A request, read.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) token: Option<String>,
    /// Whether the metadata is enough: `as=PartialObjectMetadata` or its list.
    pub(super) metadata: bool,
    pub(super) watch: bool,
    pub(super) limit: Option<usize>,
    pub(super) continue_token: Option<String>,
    pub(super) version: Option<u64>,
    pub(super) bookmarks: bool,
    pub(super) initial_events: bool,
    pub(super) timeout: Option<Duration>,
    /// Of `fieldSelector=metadata.name=…`.
    pub(super) name: Option<String>,
}

impl Asked {
    pub(super) fn read<B>(request: &Request<B>) -> Self {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let mut asked = Self {
            path: request.uri().path().to_owned(),
            token: header(AUTHORIZATION).and_then(|text| text.strip_prefix("Bearer ")).map(str::to_owned),
            metadata: header(ACCEPT).is_some_and(|accept| accept.contains("as=PartialObjectMetadata")),
            ..Self::default()
        };
        for (key, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
            let is_true = ["true", "1"].contains(&&*value);
            match &*key {
                "watch" => asked.watch = is_true,
                "limit" => asked.limit = value.parse().ok().filter(|limit| *limit > 0),
                "continue" => asked.continue_token = Some(value.into_owned()),
                "resourceVersion" => asked.version = value.parse().ok().filter(|version| *version > 0),
                "allowWatchBookmarks" => asked.bookmarks = is_true,
                "sendInitialEvents" => asked.initial_events = is_true,
                "timeoutSeconds" => asked.timeout = value.parse().ok().map(Duration::from_secs),
                "fieldSelector" => asked.name = value.strip_prefix("metadata.name=").map(str::to_owned),
                _ => {}
            }
        }
        asked
    }

    pub(super) fn is_liveness(&self) -> bool {
        ["/version", "/livez", "/readyz", "/healthz"].contains(&self.path.as_str())
    }

    pub(super) fn purpose(&self, is_collection: bool, is_named: bool) -> Purpose {
        match (is_collection, self.watch) {
            (true, true) if !self.initial_events => Purpose::Watch,
            (true, _) => Purpose::List,
            _ if self.is_liveness() => Purpose::Liveness,
            _ if is_named => Purpose::Named,
            _ => Purpose::Other,
        }
    }
}
