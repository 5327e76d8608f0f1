//! The requests of a polled target's round do not grow with the number of Integrations.

use std::time::Duration;

use serde_json::json;

use crate::kit::{World, hub, target};

const USER: &str = "round-cost";
const TYPES: [&str; 4] = ["argocd", "flux", "prometheus", "istio"];

#[tokio::test]
async fn round_cost_does_not_grow_with_integrations() {
    let mut world = World::new("round-cost").await;
    hub().await;
    let plane = target().await;
    world.target("one", &plane.kubeconfig_of(USER, Some("system:masters")).unwrap()).await;
    let mut made = 0;
    let mut counts = Vec::new();
    for copies in [1, 10, 100] {
        for copy in made..copies {
            for type_ in TYPES {
                let name = format!("{type_}-{copy}");
                let config = json!({ "namespace": format!("round-cost-{type_}") });
                world.integration(&name, json!({ "type": type_, "targetClusters": ["one"], "config": config })).await;
            }
        }
        made = copies;
        world.start_operator(&["--interval=3s", "--check-mode=poll"]).await;
        let wanted = copies * TYPES.len();
        world
            .until_target("one", |target| {
                target.status.as_ref().is_some_and(|status| {
                    status.integrations.len() == wanted && status.integrations.iter().all(|i| i.phase == "Failed")
                })
            })
            .await;
        counts.push(count_round_requests(plane).await);
        drop(world.take_operator());
    }
    assert!(counts[0] > 10, "{counts:?}");
    assert!(counts.iter().all(|count| *count == counts[0]), "requests in a round with 1, 10, 100 copies: {counts:?}");
    println!("requests a round with 1, 10, 100 copies of each of {} types: {counts:?}", TYPES.len());
}

/// Waits for a pause, then for one whole round, and counts its requests in the audit log.
async fn count_round_requests(plane: &testkit::ControlPlane) -> usize {
    let audit = plane.audit();
    let count = |mark| audit.since(mark).unwrap().iter().filter(|event| event.user.username == USER).count();
    let quiet = async |mark| {
        let mut before = count(mark);
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let now = count(mark);
            if now == before {
                return now;
            }
            before = now;
        }
    };
    quiet(audit.mark()).await;
    let mark = audit.mark();
    while count(mark) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    quiet(mark).await
}
