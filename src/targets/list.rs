//! What a target answers, decoded into the few fields that checks read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::snapshot::{Answer, ListKind, Service, Workload};

/// Objects of one kind in one namespace that are looked at; a target with more is not believed.
pub(super) const MOST_OBJECTS: usize = 50_000;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// One page of a list, and where the next one starts.
pub(super) struct Page {
    pub(super) answer: Answer,
    pub(super) objects: usize,
    pub(super) next: Option<String>,
}

/// None if `body` is no list as the Kubernetes API describes it.
pub(super) fn page(kind: ListKind, body: &[u8]) -> Option<Page> {
    match kind {
        ListKind::Deployment | ListKind::StatefulSet => decode(body, |items: Vec<Scaled>| {
            Answer::Workloads(items.into_iter().filter_map(Scaled::workload).collect())
        }),
        ListKind::DaemonSet => decode(body, |items: Vec<Daemon>| {
            Answer::Workloads(items.into_iter().filter_map(Daemon::workload).collect())
        }),
        ListKind::Service => decode(body, |items: Vec<RawService>| {
            Answer::Services(items.into_iter().filter_map(RawService::service).collect())
        }),
        ListKind::EndpointSlice => decode(body, |items: Vec<Slice>| Answer::Endpoints(ready_in_slices(items))),
        ListKind::Endpoints => decode(body, |items: Vec<RawEndpoints>| Answer::Endpoints(ready_in_endpoints(items))),
    }
}

/// Adds `more` to `answer`; both came from the same query.
pub(super) fn append(answer: &mut Answer, more: Answer) {
    match (answer, more) {
        (Answer::Workloads(all), Answer::Workloads(more)) => all.extend(more),
        (Answer::Services(all), Answer::Services(more)) => all.extend(more),
        (Answer::Endpoints(all), Answer::Endpoints(more)) => {
            for (service, ready) in more {
                let total = all.entry(service).or_insert(0);
                *total = total.saturating_add(ready);
            }
        }
        (answer, more) => *answer = more,
    }
}

fn decode<T: DeserializeOwned>(body: &[u8], make: impl FnOnce(Vec<T>) -> Answer) -> Option<Page> {
    let list: List<T> = serde_json::from_slice(body).ok()?;
    let items = list.items.unwrap_or_default();
    let objects = items.len();
    Some(Page { answer: make(items), objects, next: list.metadata.next.filter(|token| !token.is_empty()) })
}

#[derive(Deserialize)]
struct List<T> {
    metadata: ListMeta,
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct ListMeta {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    name: String,
    labels: Option<BTreeMap<String, String>>,
    generation: i64,
}

impl Meta {
    /// The name, if it is one that Kubernetes would have taken: anything else would go into a status.
    fn valid_name(&self) -> Option<String> {
        let valid = !self.name.is_empty()
            && self.name.len() <= 253
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
        valid.then(|| self.name.clone())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scaled {
    metadata: Meta,
    #[serde(default)]
    spec: ScaledSpec,
    #[serde(default)]
    status: ScaledStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ScaledSpec {
    replicas: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ScaledStatus {
    available_replicas: Option<i64>,
    ready_replicas: Option<i64>,
    updated_replicas: Option<i64>,
    observed_generation: i64,
    conditions: Option<Vec<RawCondition>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

impl Scaled {
    fn workload(self) -> Option<Workload> {
        let Self { metadata, spec, status } = self;
        let stalled = |condition: &RawCondition| condition.type_ == "Progressing" && condition.status == "False";
        Some(Workload {
            name: metadata.valid_name()?,
            desired: count(spec.replicas.or(Some(1))),
            ready: count(status.available_replicas.or(status.ready_replicas)),
            updated: count(status.updated_replicas),
            observed: status.observed_generation >= metadata.generation,
            stalled: status.conditions.iter().flatten().any(stalled),
            labels: metadata.labels.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct Daemon {
    metadata: Meta,
    #[serde(default)]
    status: DaemonStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DaemonStatus {
    desired_number_scheduled: Option<i64>,
    number_available: Option<i64>,
    updated_number_scheduled: Option<i64>,
    observed_generation: i64,
}

impl Daemon {
    fn workload(self) -> Option<Workload> {
        let Self { metadata, status } = self;
        Some(Workload {
            name: metadata.valid_name()?,
            desired: count(status.desired_number_scheduled),
            ready: count(status.number_available),
            updated: count(status.updated_number_scheduled),
            observed: status.observed_generation >= metadata.generation,
            stalled: false,
            labels: metadata.labels.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct RawService {
    metadata: Meta,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServiceSpec {
    #[serde(rename = "type")]
    type_: Option<String>,
}

impl RawService {
    fn service(self) -> Option<Service> {
        Some(Service {
            name: self.metadata.valid_name()?,
            external: self.spec.type_.as_deref() == Some("ExternalName"),
            labels: self.metadata.labels.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct Slice {
    metadata: Meta,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    addresses: Option<Vec<String>>,
    conditions: EndpointConditions,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EndpointConditions {
    /// Unset means ready, as the API says.
    ready: Option<bool>,
}

/// A Service may have several slices, and an address may stand in two of them while it moves.
fn ready_in_slices(slices: Vec<Slice>) -> BTreeMap<String, u32> {
    let mut addresses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for slice in slices {
        let Some(service) = slice.metadata.labels.unwrap_or_default().remove(SERVICE_NAME) else { continue };
        let ready = slice.endpoints.into_iter().flatten().filter(|endpoint| endpoint.conditions.ready.unwrap_or(true));
        addresses.entry(service).or_default().extend(ready.flat_map(|endpoint| endpoint.addresses.unwrap_or_default()));
    }
    addresses.into_iter().map(|(service, all)| (service, u32::try_from(all.len()).unwrap_or(u32::MAX))).collect()
}

#[derive(Deserialize)]
struct RawEndpoints {
    metadata: Meta,
    #[serde(default)]
    subsets: Option<Vec<Subset>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subset {
    addresses: Option<Vec<serde::de::IgnoredAny>>,
}

fn ready_in_endpoints(all: Vec<RawEndpoints>) -> BTreeMap<String, u32> {
    all.into_iter()
        .map(|one| {
            let ready: usize =
                one.subsets.iter().flatten().map(|subset| subset.addresses.iter().flatten().count()).sum();
            (one.metadata.name, u32::try_from(ready).unwrap_or(u32::MAX))
        })
        .collect()
}

/// Counts are never negative; a target that says so, or says more than there can be, gets the nearest that can.
fn count(number: Option<i64>) -> u32 {
    u32::try_from(number.unwrap_or(0).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(kind: ListKind, items: serde_json::Value) -> Answer {
        page(kind, json!({ "metadata": {}, "items": items }).to_string().as_bytes()).unwrap().answer
    }

    #[test]
    fn a_deployment_in_the_middle_of_a_roll() {
        let found = list(
            ListKind::Deployment,
            json!([{
                "metadata": { "name": "web", "generation": 4, "labels": { "app": "web" } },
                "spec": { "replicas": 3 },
                "status": { "availableReplicas": 2, "updatedReplicas": 1, "observedGeneration": 3,
                    "conditions": [{ "type": "Progressing", "status": "False" }] },
            }]),
        );
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let web =
            Workload { name: "web".into(), labels, desired: 3, ready: 2, updated: 1, observed: false, stalled: true };
        assert_eq!(found, Answer::Workloads(vec![web]));
    }

    #[test]
    fn hostile_values_do_no_harm() {
        let found = list(
            ListKind::Deployment,
            json!([
                { "metadata": { "name": "a" }, "spec": { "replicas": -5 }, "status": { "availableReplicas": i64::MAX } },
                { "metadata": { "name": "no such name\n" } },
            ]),
        );
        let Answer::Workloads(found) = found else { panic!() };
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].desired, found[0].ready), (0, u32::MAX));
    }

    #[test]
    fn null_is_an_empty_list_and_anything_else_is_none() {
        assert_eq!(list(ListKind::Service, json!(null)), Answer::Services(vec![]));
        for body in ["", "{", "[]", "null", "{\"items\":7,\"metadata\":{}}", "{\"kind\":\"Status\"}"] {
            assert!(page(ListKind::Service, body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn endpoints_are_counted_once_and_only_when_ready() {
        let slice = |endpoints| json!({ "metadata": { "labels": { SERVICE_NAME: "web" } }, "endpoints": endpoints });
        let found = list(
            ListKind::EndpointSlice,
            json!([
                slice(json!([{ "addresses": ["10.0.0.1"], "conditions": { "ready": true } },
                { "addresses": ["10.0.0.2"], "conditions": { "ready": false } }, { "addresses": ["10.0.0.3"] }])),
                slice(json!([{ "addresses": ["10.0.0.1"] }])),
                slice(json!(null)),
            ]),
        );
        assert_eq!(found, Answer::Endpoints(BTreeMap::from([("web".to_owned(), 2)])));
        let found = list(
            ListKind::Endpoints,
            json!([{ "metadata": { "name": "web" },
            "subsets": [{ "addresses": [{}, {}], "notReadyAddresses": [{}] }] }]),
        );
        assert_eq!(found, Answer::Endpoints(BTreeMap::from([("web".to_owned(), 2)])));
    }
}
