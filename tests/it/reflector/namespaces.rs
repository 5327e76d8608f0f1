//! Lists in namespaces that may be absent.

use std::collections::BTreeSet;
use std::time::Duration;

use ksit::domain::snapshot::{Answer, ListKind, ObjectRef, Query};
use ksit::targets::{Reflector, Standing};
use simulator::{ComponentId, Health, Kind};
use tokio::time::{sleep, timeout};

use super::{SOON, Watched, limits};
use crate::transport_faults::{connection_of, list};

/// Rounds in which each of the names below has been read once.
const ROTATION: usize = 3;

/// One usual namespace, another one, and two more names.
fn queries() -> BTreeSet<Query> {
    BTreeSet::from([
        list(ListKind::Deployment, "flux-system"),
        list(ListKind::Deployment, "argocd"),
        list(ListKind::StatefulSet, "argocd"),
        Query::Object(ObjectRef::namespace("flux-system")),
        Query::Object(ObjectRef::other_namespace("argocd")),
        Query::Object(ObjectRef::crd("gateways.networking.istio.io")),
        Query::Object(ObjectRef::crd("virtualservices.networking.istio.io")),
    ])
}

impl Watched {
    fn namespace(&self) -> ComponentId {
        self.simulator.component(Kind::Namespace, "", "argocd").unwrap()
    }

    async fn round(&mut self) {
        self.reflector.refresh(&self.cluster, &queries(), Standing::Healthy).await.unwrap();
    }

    fn deployments(&self) -> Option<Answer> {
        self.reflector.snapshot().get(&list(ListKind::Deployment, "argocd")).cloned()
    }
}

#[tokio::test]
async fn absent_other_namespace_costs_no_watch_and_no_request() {
    let mut watched = Watched::new().await;
    assert!(watched.simulator.set(0, watched.namespace(), Health::Absent));
    watched.reflector = Reflector::default();
    let before = watched.simulator.counts();
    watched.round().await;
    let after = watched.simulator.counts();
    assert_eq!((after.lists - before.lists, after.named - before.named), (1, 4 + 1), "the names, and discovery");
    assert_eq!((after.open_watches, watched.deployments()), (1, None));
    assert!(watched.reflector.is_complete() && watched.reflector.is_following());
    for _ in 0..4 {
        let before = watched.simulator.requests();
        watched.round().await;
        assert_eq!(watched.simulator.requests() - before, 2, "as with a namespace that exists");
    }
}

#[tokio::test]
async fn other_namespace_that_comes_and_goes_is_noticed() {
    let mut watched = Watched::new().await;
    watched.reflector = Reflector::default();
    watched.round().await;
    assert!(matches!(watched.deployments(), Some(Answer::Workloads(found)) if !found.is_empty()), "read at once");
    for (health, watches) in [(Health::Absent, 1), (Health::Healthy, 3), (Health::Absent, 1)] {
        assert!(watched.simulator.set(0, watched.namespace(), health));
        for _ in 0..11 {
            watched.round().await;
        }
        // The server notices the end of a stream a little later.
        let counted = async {
            while watched.simulator.counts().open_watches != watches {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, counted).await.unwrap_or_else(|_| panic!("{health:?}: not {watches} watches"));
        assert_eq!(watched.deployments().is_some(), health == Health::Healthy);
    }
    assert!(watched.simulator.set(0, watched.namespace(), Health::Healthy));
    for _ in 0..ROTATION {
        watched.round().await;
    }
    assert!(watched.deployments().is_some(), "one that is missing is looked for in each rotation");
}

#[tokio::test]
async fn other_namespace_is_read_rarely_by_polling() {
    let watched = Watched::new().await;
    let cluster = ksit::targets::Cluster::new(connection_of(&watched.simulator.kubeconfig(0)), limits());
    let mut reflector = Reflector::polling();
    let mut named = Vec::new();
    for _ in 0..3 {
        let before = watched.simulator.counts().named;
        reflector.refresh(&cluster, &queries(), Standing::Healthy).await.unwrap();
        named.push(watched.simulator.counts().named - before);
    }
    assert_eq!(named, [4 + 1, 2, 2], "both namespaces once, and discovery");
}
