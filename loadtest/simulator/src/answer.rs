//! Decides a cluster's response to a request, faults included; the connections send it.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;

use super::body::Body;
use super::catalogue::Health;
use super::cluster::Cluster;
use super::counts::Purpose;
use super::discovery;
use super::fault::Fault;
use super::fleet::{Fleet, token};
use super::hostile::{self, OversizedBody};
use super::list;
use super::request::ApiRequest;
use super::watch::{Lines, Watch};

pub(super) enum Answer {
    Whole(Body),
    Watch(Watch, Lines),
    /// Headers and this part of the body, then nothing.
    Beginning(Bytes),
    /// The body in pieces, one per second.
    Slow(Body),
    Oversized(OversizedBody),
    /// No response, not even headers.
    Never,
    Reset,
}

/// Counts the request and decides its response.
pub(super) fn answer<B>(fleet: &Fleet, number: u32, request: &Request<B>) -> Answer {
    let Some(cluster) = fleet.cluster(number) else {
        return Answer::Whole(Body::failure(StatusCode::NOT_FOUND, "NotFound", "no such cluster is simulated"));
    };
    let request = ApiRequest::parse(request);
    let collection = fleet.catalogue.collection(&request.path);
    let named = request.path.rsplit_once('/').and_then(|(path, name)| Some((fleet.catalogue.collection(path)?, name)));
    let purpose = request.purpose(collection.is_some(), named.is_some());
    cluster.counters.count(purpose, fleet.began);
    let (fault, mut valid) = {
        let state = cluster.state();
        (state.fault, state.revoked..=state.token)
    };
    if let Some(refused) = refusal(fleet, fault, purpose) {
        return refused;
    }
    if !valid.any(|issued| request.token.as_deref() == Some(&*token(number, issued))) {
        return Answer::Whole(Body::failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"));
    }
    match (collection, named) {
        (Some(collection), _) if request.watch => watch(fleet, cluster, collection, &request, fault),
        (Some(collection), _) if fault == Some(Fault::OversizedBody) => {
            Answer::Oversized(hostile::oversized_list(fleet, cluster, collection, &request))
        }
        (Some(collection), _) => {
            whole(hostile::renamed(list::list(fleet, cluster, collection, &request), fault), fault)
        }
        _ if request.path == discovery::PATH => whole(discovery::discovery(fleet, cluster), fault),
        _ if request.is_liveness() => whole(liveness(&request.path), fault),
        (None, Some((collection, name))) => whole(get(fleet, cluster, collection, name, request.metadata), fault),
        (None, None) => {
            let message = "the server could not find the requested resource";
            whole(Body::failure(StatusCode::NOT_FOUND, "NotFound", message), fault)
        }
    }
}

/// The response of faults that affect every request.
fn refusal(fleet: &Fleet, fault: Option<Fault>, purpose: Purpose) -> Option<Answer> {
    let body = match fault? {
        Fault::HangBeforeHeaders | Fault::Blackhole => return Some(Answer::Never),
        Fault::Reset => return Some(Answer::Reset),
        Fault::TooManyRequests => {
            let message = "too many requests, please try again later";
            let body = Body::failure(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
            Body { retry_after: Some(fleet.settings.retry_after), ..body }
        }
        Fault::ServerError => {
            Body::failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcdserver: request timed out")
        }
        Fault::Unauthorized => Body::failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"),
        Fault::Forbidden if purpose != Purpose::Liveness => {
            Body::failure(StatusCode::FORBIDDEN, "Forbidden", "may not be read")
        }
        _ => return None,
    };
    Some(Answer::Whole(body))
}

/// Applies the fault to a complete body.
fn whole(body: Body, fault: Option<Fault>) -> Answer {
    match fault {
        Some(Fault::HangInBody) => {
            let first = body.pieces.first().cloned().unwrap_or_default();
            Answer::Beginning(first.slice(..first.len() / 2))
        }
        Some(Fault::SlowBody) => Answer::Slow(body),
        Some(Fault::InvalidJson) => Answer::Whole(Body::new(body.status, vec![Bytes::from_static(GARBAGE)])),
        _ => Answer::Whole(body),
    }
}

const GARBAGE: &[u8] = b"{\"kind\":\"DeploymentList\",\"items\":[{\"metadata\":{\"name\":\x00\xff}}\n";

fn watch(fleet: &Fleet, cluster: &Cluster, collection: usize, request: &ApiRequest, fault: Option<Fault>) -> Answer {
    if request.initial_events && !fleet.settings.streaming_lists {
        let message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        return Answer::Whole(Body::failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message));
    }
    if fault == Some(Fault::InvalidJson) {
        return Answer::Whole(Body::new(StatusCode::OK, vec![Bytes::from_static(GARBAGE)]));
    }
    let (watch, first) = Watch::begin(fleet, cluster, collection, request);
    let endless = fault.and_then(|fault| hostile::endless_watch(fleet, collection, request, fault, &first.text));
    if let Some(body) = endless {
        return Answer::Oversized(body);
    }
    match fault {
        Some(Fault::HangInBody) if request.initial_events => {
            Answer::Beginning(first.text.slice(..first.text.len() / 2))
        }
        Some(Fault::OversizedName | Fault::ControlCharacters) if request.initial_events => {
            let renamed = hostile::renamed(Body::new(StatusCode::OK, vec![first.text]), fault);
            Answer::Watch(watch, Lines { text: renamed.pieces.concat().into(), end: first.end })
        }
        Some(Fault::SlowBody) if request.initial_events => Answer::Slow(Body::new(StatusCode::OK, vec![first.text])),
        _ => Answer::Watch(watch, first),
    }
}

fn liveness(path: &str) -> Body {
    match path {
        "/version" => Body::json(
            json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.3", "platform": "linux/amd64" }).to_string(),
        ),
        _ => Body::json("ok".to_owned()),
    }
}

fn get(fleet: &Fleet, cluster: &Cluster, collection: usize, name: &str, metadata: bool) -> Body {
    let kind = fleet.catalogue.collections[collection].kind;
    let Some(place) = fleet.catalogue.named(collection, name) else { return not_found(name) };
    let object = &fleet.catalogue.objects[place];
    let differing = cluster.state().differing.get(&(place as u16)).copied();
    let (health, version) = differing.map_or((Health::Healthy, object.version), |found| (found.health, found.version));
    let mut text = String::new();
    match (health, metadata) {
        (Health::Absent, _) => return not_found(name),
        (_, true) => object.metadata.whole("PartialObjectMetadata", "meta.k8s.io/v1", version, &mut text),
        _ => object.text(health).whole(kind.as_str(), kind.api_version(), version, &mut text),
    }
    Body::json(text)
}

fn not_found(name: &str) -> Body {
    Body::failure(StatusCode::NOT_FOUND, "NotFound", &format!("\"{name}\" not found"))
}
