//! A hub shared with others: foreign metadata on ksit's objects, unwatched namespaces, dead installations.

use ksit::api::ShardMap;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::kit::{World, eventually, hub, target};

fn maps(world: &World) -> Api<ShardMap> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

async fn ksit(args: &[&str]) -> (Option<i32>, String) {
    let kubeconfig = hub().await.kubeconfig_path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
    let output = command.args(args).arg("--kubeconfig").arg(kubeconfig).output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

/// The first map of a term later than `term`.
async fn map_after(world: &World, term: i64) -> ShardMap {
    let maps = maps(world);
    eventually("a map of a later term", async || maps.get_opt("ksit").await.unwrap().filter(|map| map.spec.term > term))
        .await
}

#[tokio::test]
async fn shard_map_keeps_metadata_of_others() {
    let mut world = World::new("map-metadata").await;
    world.start_operator(&[]).await;
    let before = map_after(&world, 0).await;
    let others = json!({ "metadata": {
        "labels": { "team": "platform" }, "annotations": { "example.com/backup": "yes" },
        "finalizers": ["example.com/kept"],
        "ownerReferences": [{ "apiVersion": "v1", "kind": "Namespace", "name": "map-metadata",
            "uid": "00000000-0000-0000-0000-000000000001" }] } });
    maps(&world).patch("ksit", &PatchParams::default(), &Patch::Merge(others.clone())).await.unwrap();
    drop(world.take_operator());
    world.start_operator(&["--replica=ksit-1"]).await;
    let after = map_after(&world, before.spec.term).await;
    // The first map of the term, and a later one.
    let later = eventually("another map", async || {
        let map = maps(&world).get("ksit").await.unwrap();
        (map.spec.members.iter().any(|member| member.name == "ksit-1" && !member.slots.is_empty())).then_some(map)
    })
    .await;
    let free = json!({ "metadata": { "finalizers": [] } });
    maps(&world).patch("ksit", &PatchParams::default(), &Patch::Merge(free)).await.unwrap();
    for map in [after, later] {
        assert_eq!(map.labels()["team"], "platform");
        assert_eq!(map.annotations()["example.com/backup"], "yes");
        assert_eq!(map.finalizers(), ["example.com/kept"]);
        assert_eq!(map.owner_references().len(), 1);
    }
}

#[tokio::test]
async fn unwatched_namespace_is_reported() {
    let mut observed = World::new("observed").await;
    let forgotten = World::new("unobserved").await;
    observed.start_operator(&[]).await;
    for world in [&observed, &forgotten] {
        world.integration("flux", json!({ "type": "flux", "targetClusters": ["one"] })).await;
    }
    observed.until_phase("flux", "Failed").await;
    let words = "no installation of ksit watches namespace unobserved";
    eventually("the installation to publish its namespaces", async || {
        let map = maps(&observed).get("ksit").await.unwrap();
        map.status?.watched_namespaces.filter(|names| names == &["observed"])
    })
    .await;
    // Installations of other tests come and go on this hub; each publishes its namespaces within a round.
    let (code, text) = eventually("the fleet to report it", async || {
        let output = ksit(&["fleet", "-n", "unobserved", "--check", "-o", "wide"]).await;
        output.1.contains(words).then_some(output)
    })
    .await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("observed/ksit (it watches observed)"), "{text}");
    let row = text.lines().find(|line| line.starts_with("unobserved")).unwrap();
    assert!(row.contains("Unknown") && row.contains(words), "{text}");
    let (_, text) = ksit(&["fleet", "-n", "observed"]).await;
    assert!(!text.contains("no installation"), "{text}");

    let contexts = target().await.kubeconfig();
    let mut file: Value = serde_json::from_str(&hub().await.kubeconfig()).unwrap();
    let other: Value = serde_json::from_str(&contexts).unwrap();
    for (list, key) in [("contexts", "name"), ("clusters", "name"), ("users", "name")] {
        let mut entry = other[list][0].clone();
        entry[key] = json!("berlin");
        if list == "contexts" {
            entry["context"] = json!({ "cluster": "berlin", "user": "berlin" });
        }
        file[list].as_array_mut().unwrap().push(entry);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, file.to_string()).unwrap();
    let path = path.to_str().unwrap();
    let add = async |namespace: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
        command.args(["target", "add", "--context", "berlin", "--dry-run", "-n", namespace, "--kubeconfig", path]);
        let output = command.output().await.unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let warned =
        eventually("the warning", async || Some(add("unobserved").await).filter(|text| text.contains(words))).await;
    assert!(warned.contains("warning: ") && warned.contains("1 planned"), "{warned}");
    let silent = add("observed").await;
    assert!(!silent.contains("warning") && silent.contains("1 planned"), "{silent}");
}

/// The Lease expires before the statuses are stale.
#[tokio::test]
async fn dead_installation_is_detected_by_its_lease() {
    let mut world = World::new("gone").await;
    world.start_operator(&["--interval=5s", "--lease-duration=5s", "--lease-renew-interval=1s"]).await;
    world.integration("flux", json!({ "type": "flux", "targetClusters": ["one"] })).await;
    world.until_phase("flux", "Failed").await;
    let living = ksit(&["fleet", "-n", "gone"]).await.1;
    assert!(!living.contains("nobody leads"), "{living}");
    let operator = world.take_operator();
    operator.signal(Signal::SIGKILL).unwrap();
    for command in ["fleet", "shards"] {
        let (code, text) = eventually("the command to report it", async || {
            let output = ksit(&[command, "-n", "gone", "--check"]).await;
            output.1.contains("the coordinator has not renewed its Lease for").then_some(output)
        })
        .await;
        assert_eq!(code, Some(1), "{text}");
    }
}
