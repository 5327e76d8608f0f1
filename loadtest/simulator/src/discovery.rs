//! Aggregated discovery: the resources that a cluster serves.

use std::collections::BTreeMap;

use serde_json::json;

use super::body::Body;
use super::catalogue::{Health, Kind};
use super::cluster::Cluster;
use super::fleet::Fleet;

/// The path of discovery.
pub(super) const PATH: &str = "/apis";

/// The groups of the CustomResourceDefinitions that the cluster has, each in version `v1`, and those of managed objects.
pub(super) fn discovery(fleet: &Fleet, cluster: &Cluster) -> Body {
    let state = cluster.state();
    let is_absent = |place: usize| {
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        state.differing.get(&place).is_some_and(|differing| differing.health == Health::Absent)
    };
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (place, object) in fleet.catalogue.objects.iter().enumerate() {
        if object.component.kind == Kind::Crd
            && !is_absent(place)
            && let Some((plural, group)) = object.component.name.split_once('.')
        {
            groups.entry(group).or_default().push(plural);
        }
    }
    let managed = fleet.catalogue.collections.iter().map(|collection| collection.kind).filter(|kind| kind.is_managed());
    let managed = managed.filter_map(|kind| {
        let (group, version) = kind.api_version().split_once('/')?;
        let resources = json!([{ "resource": kind.plural() }]);
        Some(json!({ "metadata": { "name": group }, "versions": [{ "version": version, "resources": resources }] }))
    });
    let group = |(name, plurals): (&str, Vec<&str>)| {
        let resources: Vec<_> = plurals.into_iter().map(|plural| json!({ "resource": plural })).collect();
        json!({ "metadata": { "name": name }, "versions": [{ "version": "v1", "resources": resources }] })
    };
    let items: Vec<_> = groups.into_iter().map(group).chain(managed).collect();
    let list = json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items });
    Body::json(list.to_string())
}
