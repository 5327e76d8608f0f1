//! One open watch: the events it has sent, its next bookmark, its end.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use tokio::time::Instant;

use super::body::status;
use super::catalogue::{Health, Kind, Object};
use super::cluster::Cluster;
use super::fault::Fault;
use super::fleet::Fleet;
use super::request::ApiRequest;

/// A server sends a last bookmark before it ends a watch, from which the next one resumes.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

pub(super) struct Watch {
    kind: Kind,
    /// Catalogue indices of a collection or of a single object.
    objects: Range<u16>,
    metadata: bool,
    /// Version up to which everything was sent.
    sent: u64,
    bookmark: Option<Instant>,
    end: Instant,
}

/// The next lines to send; `end` closes the watch.
pub(super) struct Lines {
    pub(super) text: Bytes,
    pub(super) end: bool,
}

impl Lines {
    /// Drops the lines if the fault loses them.
    fn filtered(self, cluster: &Cluster) -> Self {
        match cluster.state().fault {
            Some(Fault::QuietWatches) => Self { text: Bytes::new(), ..self },
            _ => self,
        }
    }
}

impl Watch {
    /// The watch and its first lines.
    pub(super) fn begin(fleet: &Fleet, cluster: &Cluster, collection: usize, request: &ApiRequest) -> (Self, Lines) {
        let listed = &fleet.catalogue.collections[collection];
        let objects = match &request.name {
            None => listed.objects.clone(),
            Some(name) => fleet.catalogue.named(collection, name).map_or(0..0, |place| place..place + 1),
        };
        let mut watch = Self {
            kind: listed.kind,
            objects: objects.start as u16..objects.end as u16,
            metadata: request.metadata,
            sent: 0,
            bookmark: None,
            end: Instant::now()
                + request.timeout.unwrap_or_else(|| rand::rng().random_range(fleet.settings.watch_ends.clone())),
        };
        if request.bookmarks {
            watch.plan_bookmark(fleet);
        }
        let first = watch.first_lines(fleet, cluster, request).filtered(cluster);
        (watch, first)
    }

    fn first_lines(&mut self, fleet: &Fleet, cluster: &Cluster, request: &ApiRequest) -> Lines {
        let state = cluster.state();
        let from_now = request.version.is_none() || request.initial_events;
        if let Some(version) = request.version.filter(|_| !from_now) {
            self.sent = version;
            if version < fleet.oldest(&state) {
                return self.gone();
            }
            drop(state);
            return self.new_events(fleet, cluster).unwrap_or(Lines { text: Bytes::new(), end: false });
        }
        let mut text = String::new();
        for place in self.objects.clone() {
            let object = fleet.object(place);
            let (health, version) = state
                .differing
                .get(&place)
                .map_or((Health::Healthy, object.version), |differing| (differing.health, differing.version));
            if health != Health::Absent {
                self.event("ADDED", object, health, version, &mut text);
            }
        }
        self.sent = state.current(fleet.idle_version());
        if request.initial_events && request.bookmarks {
            self.bookmark_line(true, &mut text);
        }
        Lines { text: text.into(), end: false }
    }

    /// Events since the last call; `None` if there are none.
    pub(super) fn catch_up(&mut self, fleet: &Fleet, cluster: &Cluster) -> Option<Lines> {
        self.new_events(fleet, cluster).map(|lines| lines.filtered(cluster))
    }

    fn new_events(&mut self, fleet: &Fleet, cluster: &Cluster) -> Option<Lines> {
        let state = cluster.state();
        if state.fault.is_some_and(|fault| fault.silences_watches()) {
            return None;
        }
        if self.sent < state.trimmed {
            return Some(self.gone());
        }
        let mut text = String::new();
        let mut sent = self.sent;
        for change in state.since(self.sent) {
            sent = change.version;
            if self.objects.contains(&change.object) {
                let (event, health) = match (change.from, change.to) {
                    (from, Health::Absent) => ("DELETED", from),
                    (Health::Absent, to) => ("ADDED", to),
                    (_, to) => ("MODIFIED", to),
                };
                self.event(event, fleet.object(change.object), health, change.version, &mut text);
            }
        }
        self.sent = sent;
        (!text.is_empty()).then(|| Lines { text: text.into(), end: false })
    }

    /// Time of the next bookmark or of the end.
    pub(super) fn due(&self) -> Instant {
        self.bookmark.map_or(self.end, |bookmark| bookmark.min(self.end))
    }

    /// The bookmark or the end, if due. A watch that ends has sent everything.
    pub(super) fn on_time(&mut self, fleet: &Fleet, cluster: &Cluster, now: Instant) -> Option<Lines> {
        self.due_lines(fleet, cluster, now).map(|lines| lines.filtered(cluster))
    }

    fn due_lines(&mut self, fleet: &Fleet, cluster: &Cluster, now: Instant) -> Option<Lines> {
        let is_silent = cluster.state().fault.is_some_and(|fault| fault.silences_watches());
        if is_silent {
            // A watch neither sends nor ends while the server hangs.
            self.end = self.end.max(now + LAST_BOOKMARK);
            self.plan_bookmark(fleet);
            return None;
        }
        if now >= self.end {
            return Some(Lines { text: Bytes::new(), end: true });
        }
        self.bookmark.filter(|due| now >= *due)?;
        let mut text = String::new();
        // Include events of the same moment: a bookmark promises that everything before it was sent.
        let caught_up = self.new_events(fleet, cluster);
        if let Some(lines) = caught_up {
            if lines.end {
                return Some(lines);
            }
            text.push_str(std::str::from_utf8(&lines.text).unwrap_or_default());
        }
        self.sent = self.sent.max(self.version_without_news(fleet, cluster));
        self.bookmark_line(false, &mut text);
        self.plan_bookmark(fleet);
        Some(Lines { text: text.into(), end: false })
    }

    /// The version up to which there is nothing left to send.
    fn version_without_news(&self, fleet: &Fleet, cluster: &Cluster) -> u64 {
        let state = cluster.state();
        match state.since(self.sent).next() {
            Some(_) => self.sent,
            None => state.current(fleet.idle_version()),
        }
    }

    fn plan_bookmark(&mut self, fleet: &Fleet) {
        let now = Instant::now();
        // An API server checks about once a second, with some drift.
        let delay = Duration::from_millis(rand::rng().random_range(0..1250));
        let regular = now + fleet.settings.bookmarks + delay;
        let last = self.end.checked_sub(LAST_BOOKMARK).filter(|last| *last > now);
        self.bookmark = Some(last.map_or(regular, |last| regular.min(last)));
    }

    fn gone(&self) -> Lines {
        let object = status(410, "Expired", "too old resource version");
        Lines { text: format!("{{\"type\":\"ERROR\",\"object\":{object}}}\n").into(), end: true }
    }

    fn event(&self, event: &str, object: &Object, health: Health, version: u64, to: &mut String) {
        to.push_str(&format!("{{\"type\":\"{event}\",\"object\":"));
        match self.metadata {
            true => object.metadata.whole("PartialObjectMetadata", "meta.k8s.io/v1", version, to),
            false => object.text(health).whole(self.kind.as_str(), self.kind.api_version(), version, to),
        }
        to.push_str("}\n");
    }

    fn bookmark_line(&self, initial_events_end: bool, to: &mut String) {
        let (kind, api_version) = match self.metadata {
            true => ("PartialObjectMetadata", "meta.k8s.io/v1"),
            false => (self.kind.as_str(), self.kind.api_version()),
        };
        let annotations = match initial_events_end {
            true => ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}",
            false => "",
        };
        to.push_str(&format!(
            "{{\"type\":\"BOOKMARK\",\"object\":{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\
             \"metadata\":{{\"resourceVersion\":\"{}\",\"creationTimestamp\":null{annotations}}}}}}}\n",
            self.sent
        ));
    }
}
