//! The objects of a simulated cluster and the paths that list them. Built once and shared by all clusters.
//!
//! ```text
//! parts (data) ─> objects (JSON) ─> Object: text before and after its resourceVersion, healthy and broken
//!                                   Collection: the objects of one path, with the bytes of its untouched items
//! ```

mod kind;
mod managed;
mod manifest;
mod objects;
mod parts;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;
use serde_json::{Value, json};

pub use kind::Kind;
pub use manifest::{Manifest, manifests};
use objects::VERSION_MARK;
use parts::{EMPTY_NAMESPACE, OTHER_NAMESPACES, PARTS, Part};

/// The resourceVersion at which every cluster begins.
pub(super) const FIRST_VERSION: u64 = 100_000;

/// One object on a cluster that can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Identifies the component on every cluster.
    pub id: ComponentId,
    /// The type of its Integration; empty for a Namespace.
    pub tool: &'static str,
    /// The kind of its object.
    pub kind: Kind,
    /// Empty for cluster-scoped objects.
    pub namespace: &'static str,
    /// The name of its object.
    pub name: &'static str,
}

impl Component {
    /// Whether an integration fails if the component breaks: a workload, or a Service that an integration checks.
    pub fn is_vital(&self) -> bool {
        const SERVICES: [&str; 4] = ["argocd-server", "argocd-repo-server", "istiod", "cert-manager-webhook"];
        match self.kind {
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => true,
            Kind::Service => SERVICES.contains(&self.name),
            Kind::Namespace | Kind::EndpointSlice | Kind::Crd | Kind::Application | Kind::Kustomization => false,
        }
    }
}

/// The index of a component in [`super::Simulator::components`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(pub(super) u16);

/// State of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// All replicas or endpoints are ready.
    #[default]
    Healthy,
    /// Nothing is ready. A Service breaks through its EndpointSlice; CRDs and Namespaces can only be absent.
    Broken,
    /// The object is deleted.
    Absent,
    /// Healthy, with images of version 1.N.0; `Healthy` is version 1.0.0.
    Released(u8),
}

/// End of the images' names in the version that every cluster begins with.
const FIRST_TAG: &str = ":v1.0.0\"";

/// JSON of an object around its resourceVersion.
#[derive(Clone)]
pub(super) struct Text {
    head: String,
    tail: String,
}

impl Text {
    fn new(value: &Value) -> Self {
        let text = value.to_string();
        let (head, tail) = text.split_once(VERSION_MARK).unwrap_or((&text, ""));
        Self { head: head.to_owned(), tail: tail.to_owned() }
    }

    /// Writes it as an item of a list.
    pub(super) fn item(&self, version: u64, to: &mut String) {
        to.push_str(&self.head);
        to.push_str(&version.to_string());
        to.push_str(&self.tail);
    }

    /// Writes it as an object of its own.
    pub(super) fn whole(&self, kind: &str, api_version: &str, version: u64, to: &mut String) {
        to.push_str(&format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\","));
        to.push_str(self.head.trim_start_matches('{'));
        to.push_str(&version.to_string());
        to.push_str(&self.tail);
    }
}

pub(super) struct Object {
    pub(super) component: Component,
    healthy: Text,
    broken: Text,
    /// The object as `PartialObjectMetadata`.
    pub(super) metadata: Text,
    /// Initial resourceVersion.
    pub(super) version: u64,
}

/// The objects listed by one path.
pub(super) struct Collection {
    pub(super) kind: Kind,
    pub(super) objects: Range<usize>,
    /// The items on an unchanged cluster, joined by commas.
    pub(super) untouched: Bytes,
}

pub(super) struct Catalogue {
    pub(super) objects: Vec<Object>,
    pub(super) collections: Vec<Collection>,
    paths: HashMap<String, usize>,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        let mut catalogue = Self { objects: Vec::new(), collections: Vec::new(), paths: HashMap::new() };
        let mut collections: BTreeMap<(Kind, &str), Vec<Part>> = BTreeMap::new();
        let mut namespaces: Vec<&str> = OTHER_NAMESPACES.to_vec();
        for part in PARTS {
            let Part { tool, kind, namespace, name, labels } = *part;
            let copy = |kind| Part { tool, kind, namespace, name, labels };
            if kind == Kind::Service {
                collections.entry((Kind::EndpointSlice, namespace)).or_default().push(copy(Kind::EndpointSlice));
            }
            collections.entry((kind, namespace)).or_default().push(copy(kind));
            if !namespace.is_empty() && !namespaces.contains(&namespace) {
                namespaces.push(namespace);
            }
        }
        let namespace =
            |name: &&'static str| Part { tool: "", kind: Kind::Namespace, namespace: "", name, labels: &[] };
        collections.insert((Kind::Namespace, ""), namespaces.iter().map(namespace).collect());
        for ((kind, namespace), parts) in &collections {
            catalogue.add(*kind, namespace, parts);
        }
        // A namespace has an empty list for each kind that it has no objects of.
        for namespace in namespaces {
            for kind in Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Namespace | Kind::Crd)) {
                if !collections.contains_key(&(kind, namespace)) {
                    catalogue.add(kind, namespace, &[]);
                }
            }
        }
        catalogue
    }

    /// The same with `count` managed objects of each kind.
    pub(super) fn with_managed(count: u16) -> Self {
        let mut catalogue = Self::new();
        for kind in [Kind::Application, Kind::Kustomization] {
            if count > 0 {
                catalogue.add(kind, "", &managed::parts(kind, count));
            }
        }
        catalogue
    }

    fn add(&mut self, kind: Kind, namespace: &str, parts: &[Part]) {
        let (collection, first) = (self.collections.len(), self.objects.len());
        let mut items = String::new();
        for part in parts {
            let object = Object::new(part, self.objects.len());
            if self.objects.len() > first {
                items.push(',');
            }
            object.healthy.item(object.version, &mut items);
            self.objects.push(object);
        }
        self.collections.push(Collection { kind, objects: first..self.objects.len(), untouched: items.into() });
        self.paths.insert(kind.path(namespace), collection);
    }

    /// The collection at a path. A missing namespace has empty ones, as on a real API server.
    pub(super) fn collection(&self, path: &str) -> Option<usize> {
        let elsewhere = || {
            let (before, after) = path.split_once("/namespaces/")?;
            let (_, plural) = after.split_once('/')?;
            self.paths.get(&format!("{before}/namespaces/{EMPTY_NAMESPACE}/{plural}"))
        };
        self.paths.get(path).or_else(elsewhere).copied()
    }

    /// The object of that name in a collection.
    pub(super) fn named(&self, collection: usize, name: &str) -> Option<usize> {
        let mut objects = self.collections.get(collection)?.objects.clone();
        objects.find(|object| self.objects[*object].name() == name)
    }

    pub(super) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        let matches = |component: &Component| (component.kind, component.namespace) == (kind, namespace);
        self.objects.iter().find(|object| matches(&object.component) && object.component.name == name)
    }

    /// The paths that the five integrations list and watch, and the CRDs that they get.
    pub(super) fn requested_paths() -> (Vec<String>, Vec<String>) {
        let mut listed: Vec<String> = Vec::new();
        let mut named = Vec::new();
        for Part { kind, namespace, name, .. } in PARTS {
            let also = (*kind == Kind::Service).then_some(Kind::EndpointSlice);
            match kind {
                Kind::Crd => named.push(format!("{}/{name}", kind.path(namespace))),
                _ => listed.extend([Some(*kind), also].into_iter().flatten().map(|kind| kind.path(namespace))),
            }
        }
        listed.sort();
        listed.dedup();
        (listed, named)
    }

    /// The object that changes with the component's health: for a broken Service, its EndpointSlice.
    pub(super) fn affected_object(&self, id: ComponentId, health: Health) -> Option<&Object> {
        let object = self.objects.get(usize::from(id.0))?;
        match (object.component.kind, health) {
            (Kind::Service, Health::Broken) => {
                self.find(Kind::EndpointSlice, object.component.namespace, object.component.name)
            }
            (Kind::Crd | Kind::Namespace, Health::Broken) => None,
            _ => Some(object),
        }
    }
}

impl Object {
    /// The object in this state, which is not absent.
    pub(super) fn text(&self, health: Health) -> Cow<'_, Text> {
        let Text { head, tail } = &self.healthy;
        match health {
            Health::Broken => Cow::Borrowed(&self.broken),
            Health::Released(minor) => {
                let released = |text: &String| text.replace(FIRST_TAG, &format!(":v1.{minor}.0\""));
                Cow::Owned(Text { head: released(head), tail: released(tail) })
            }
            Health::Healthy | Health::Absent => Cow::Borrowed(&self.healthy),
        }
    }

    fn new(part: &Part, place: usize) -> Self {
        let (mut healthy, mut broken) = (objects::object(part, false), objects::object(part, true));
        let name = match part.kind {
            // Slices have their own names, and the Service's name in a label.
            Kind::EndpointSlice => {
                for object in [&mut healthy, &mut broken] {
                    object["metadata"]["name"] = json!(slice_name(part.name));
                    object["metadata"]["labels"]["kubernetes.io/service-name"] = json!(part.name);
                }
                part.name
            }
            _ => part.name,
        };
        let id = ComponentId(place as u16);
        Self {
            component: Component { id, tool: part.tool, kind: part.kind, namespace: part.namespace, name },
            healthy: Text::new(&healthy),
            broken: Text::new(&broken),
            metadata: Text::new(&json!({ "metadata": healthy["metadata"] })),
            version: FIRST_VERSION - 1000 + place as u64,
        }
    }

    /// The object's own name.
    pub(super) fn name(&self) -> String {
        match self.component.kind {
            Kind::EndpointSlice => slice_name(self.component.name),
            _ => self.component.name.to_owned(),
        }
    }
}

fn slice_name(service: &str) -> String {
    format!("{service}-7q9xk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_realistic_sizes() {
        let catalogue = Catalogue::new();
        let size = |kind, namespace, name| {
            let text = &catalogue.find(kind, namespace, name).unwrap().healthy;
            text.head.len() + text.tail.len()
        };
        assert!((4_000..10_000).contains(&size(Kind::Deployment, "argocd", "argocd-server")));
        assert!((1_000..4_000).contains(&size(Kind::Service, "argocd", "argocd-server")));
        assert!(size(Kind::Crd, "", "gateways.networking.istio.io") > 10_000);
    }

    #[test]
    fn integrations_request_fifteen_lists_and_eight_crds() {
        let (listed, named) = Catalogue::requested_paths();
        assert_eq!((listed.len(), named.len()), (15, 8));
        assert!(listed.iter().all(|path| Catalogue::new().collection(path).is_some()));
    }

    #[test]
    fn paths_are_found_and_untouched_items_are_json() {
        let catalogue = Catalogue::new();
        let at = |path: &str| &catalogue.collections[catalogue.collection(path).unwrap()];
        let count = |path: &str| {
            let text = format!("[{}]", std::str::from_utf8(&at(path).untouched).unwrap());
            serde_json::from_str::<Vec<Value>>(&text).unwrap().len()
        };
        assert_eq!(count("/apis/apps/v1/namespaces/flux-system/deployments"), 4);
        assert_eq!(count("/apis/apps/v1/namespaces/flux-system/daemonsets"), 0);
        assert_eq!(count("/api/v1/namespaces"), 7);
        assert_eq!(count("/apis/discovery.k8s.io/v1/namespaces/argocd/endpointslices"), 4);
        assert_eq!(count("/apis/apps/v1/namespaces/unknown/deployments"), 0);
        assert_eq!(catalogue.collection("/apis/apps/v1/namespaces/argocd/unknown"), None);
    }
}
