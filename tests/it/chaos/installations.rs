//! Two installations of ksit that observe the same clusters.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, ListParams, Patch, PatchParams};
use loadtest::run::{Fleet, NAMESPACE};
use serde_json::json;
use testkit::installation::Installation;
use testkit::workloads::Workloads;
use tokio::time::sleep;

use super::{FLAGS, TIMEOUT, assert_no_violations, break_and_wait, prepare, until_owned_by};
use crate::kit::eventually;

const OTHER: &str = "other";

/// An installation in another namespace, with the rights of the first one in the clusters' namespace.
async fn second_installation(fleet: &Fleet) -> Installation {
    Workloads::new(fleet.client.clone()).namespace(OTHER).await.unwrap();
    let ksit = Path::new(env!("CARGO_BIN_EXE_ksit"));
    let second = Installation::new(&fleet.hub, ksit, OTHER, &FLAGS).await.unwrap().watching(NAMESPACE);
    let bindings: Api<RoleBinding> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    // Rights on the clusters, and on the Leases by which the second detects that the first is gone.
    for role in [format!("ksit-fleet-{NAMESPACE}"), "ksit".to_owned()] {
        let name = format!("{OTHER}-{role}");
        let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": "ksit", "namespace": OTHER }] });
        bindings.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(binding)).await.unwrap();
    }
    second
}

/// The installations that manage the clusters.
async fn managers(fleet: &Fleet) -> Vec<String> {
    let targets: Api<ksit::api::IntegrationTarget> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let targets = targets.list(&ListParams::default()).await.unwrap();
    let mut managers: Vec<String> = targets.into_iter().filter_map(|target| target.status?.managed_by).collect();
    managers.sort();
    managers.dedup();
    managers
}

#[tokio::test]
async fn second_installation_waits_until_the_first_is_gone() {
    let mut fleet = prepare().await;
    fleet.scale_up(1).await.unwrap();
    until_owned_by(&fleet, &[0]).await;
    break_and_wait(&fleet, 0).await;

    let mut second = second_installation(&fleet).await;
    second.want(1).await.unwrap();
    second.start(0).await.unwrap();
    let warning = "objects of another installation";
    eventually("the second to notice the first", async || second.log(0).contains(warning).then_some(())).await;
    break_and_wait(&fleet, 20).await;
    sleep(Duration::from_secs(8)).await;
    assert_eq!(managers(&fleet).await, ["load/ksit"]);
    assert_eq!(second.log(0).matches(warning).count(), 1, "one warning\n{}", second.log(0));

    // The first stops and vacates its Lease; in time the second takes over.
    let first = fleet.replicas.take(0).unwrap();
    first.stop(Duration::from_secs(30)).await.unwrap().expect("exits by itself");
    fleet.break_first(5).unwrap();
    fleet.until_phases(5, TIMEOUT + Duration::from_secs(60)).await.unwrap();
    eventually("the second to manage all", async || (managers(&fleet).await == ["other/ksit"]).then_some(())).await;
    second.check().unwrap();
    assert_no_violations(&fleet);
}
