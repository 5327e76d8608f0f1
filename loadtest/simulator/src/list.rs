//! LIST: the shared bytes of unchanged collections, in pages if requested.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;

use super::body::Body;
use super::catalogue::Health;
use super::cluster::{Cluster, State};
use super::fleet::Fleet;
use super::request::ApiRequest;

pub(super) fn list(fleet: &Fleet, cluster: &Cluster, collection: usize, request: &ApiRequest) -> Body {
    let state = cluster.state();
    let listed = &fleet.catalogue.collections[collection];
    let objects = match &request.name {
        None => listed.objects.clone(),
        Some(name) => fleet.catalogue.named(collection, name).map_or(0..0, |place| place..place + 1),
    };
    let (version, first) = match request.continue_token.as_deref().map(parse_token) {
        None => (state.current(fleet.idle_version()), objects.start),
        Some(Some((version, first))) if version >= fleet.oldest(&state) => {
            (version, first.clamp(objects.start, objects.end))
        }
        Some(Some(_)) => {
            let message = "The provided continue parameter is too old to display a consistent list result.";
            return Body::failure(StatusCode::GONE, "Expired", message);
        }
        Some(None) => return Body::failure(StatusCode::BAD_REQUEST, "BadRequest", "continue key is not valid"),
    };
    let end = request.limit.map_or(objects.end, |limit| objects.end.min(first.saturating_add(limit)));
    let (kind, api_version) = match request.metadata {
        true => ("PartialObjectMetadata", "meta.k8s.io/v1"),
        false => (listed.kind.as_str(), listed.kind.api_version()),
    };
    let mut head = format!(
        "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"{version}\""
    );
    if end < objects.end {
        let (token, left) = (make_token(version, end), objects.end - end);
        head.push_str(&format!(",\"continue\":\"{token}\",\"remainingItemCount\":{left}"));
    }
    head.push_str("},\"items\":[");
    let is_whole = (first..end) == listed.objects;
    let is_untouched = state.differing.range(first as u16..end as u16).next().is_none();
    let items = match is_whole && is_untouched && !request.metadata {
        true => listed.untouched.clone(),
        false => items(fleet, &state, first..end, request.metadata),
    };
    Body::new(StatusCode::OK, vec![head.into(), items, Bytes::from_static(b"]}\n")])
}

fn items(fleet: &Fleet, state: &State, objects: std::ops::Range<usize>, metadata: bool) -> Bytes {
    let mut items = String::new();
    for place in objects {
        let object = &fleet.catalogue.objects[place];
        let differing = state.differing.get(&(place as u16));
        let health = differing.map_or(Health::Healthy, |differing| differing.health);
        if health == Health::Absent {
            continue;
        }
        if !items.is_empty() {
            items.push(',');
        }
        let text = if metadata { Cow::Borrowed(&object.metadata) } else { object.text(health) };
        text.item(differing.map_or(object.version, |differing| differing.version), &mut items);
    }
    items.into()
}

/// A continue token: the version of the list and the index of the next object.
fn make_token(version: u64, next: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("{version} {next}"))
}

fn parse_token(token: &str) -> Option<(u64, usize)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (version, next) = text.split_once(' ')?;
    Some((version.parse().ok()?, next.parse().ok()?))
}
