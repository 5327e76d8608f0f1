//! The views: what they show, how soon, and texts that would be more than text.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kit::{Ui, cluster};
use crate::kit::{World, eventually, install_flux, target, with_validation};

#[tokio::test]
async fn break_and_repair_reach_the_page_by_themselves() {
    let _validation = with_validation().await;
    let world = World::new("ui-live").await;
    cluster(&world, "berlin", "Running", "").await;
    let ui = Ui::start(&["-n", "ui-live"]).await;
    let session = ui.open().await;
    eventually("the cluster to be shown", async || {
        ui.get("/clusters", &[&session]).await.body.contains("berlin").then_some(())
    })
    .await;
    let mut events = ui.events(&session).await;
    events.next(Duration::from_secs(30)).await.unwrap();
    for (phase, word) in [("Failed", "web is not ready"), ("Running", "all tools healthy")] {
        let since = Instant::now();
        cluster(&world, "berlin", phase, word).await;
        while !ui.get("/clusters", &[&session, "X-Part: main"]).await.body.contains(word) {
            events.next(Duration::from_secs(30)).await.expect("an event");
        }
        println!("ui: {phase} was shown after {:.2} s", since.elapsed().as_secs_f64());
    }
    let part = ui.get("/clusters", &[&session, "X-Part: main"]).await.body;
    assert!(!part.contains("<html") && part.contains("<h1>Clusters</h1>"), "{part}");
}

/// A real operator, to the end: broken on the cluster, shown as JSON.
#[tokio::test]
async fn api_has_what_the_commands_print() {
    let namespace = "ui-api";
    let mut world = World::new(namespace).await;
    let workloads = install_flux(namespace).await;
    workloads.scale("Deployment", namespace, "helm-controller", 0).await.unwrap();
    world.target("one", &target().await.kubeconfig()).await;
    let spec = json!({ "type": "flux", "targetClusters": ["one"], "config": { "namespace": namespace } });
    world.integration("flux", spec).await;
    world.start_operator(&[]).await;
    world.until_phase("flux", "Failed").await;
    let ui = Ui::start(&["-n", namespace]).await;
    let session = ui.open().await;
    let json = async |path: &str| -> Value {
        let answer = ui.get(path, &[&session]).await;
        assert!(answer.status == 200 && answer.head.contains("application/json"), "{path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    };
    let problems = eventually("the problem to be known", async || {
        let found = json("/api/v1/problems").await;
        // A coordinator has just written, so it is fresh.
        (!found["items"].as_array().unwrap().is_empty() && found["stale"].is_null()).then_some(found)
    })
    .await;
    assert_eq!(problems["items"][0]["clusters"], json!(["ui-api/one"]));
    let clusters = json("/api/v1/clusters?type=flux&phase=Failed").await;
    assert_eq!((&clusters["total"], &clusters["items"][0]["name"]), (&json!(1), &json!("one")));
    assert_eq!(json("/api/v1/clusters?q=nowhere").await["total"], 0);
    let one = json("/api/v1/clusters/ui-api/one").await;
    assert_eq!(one["status"]["reportedBy"], "ksit-0");
    assert_eq!(ui.get("/api/v1/clusters?limit=0", &[&session]).await.status, 400);
    assert_eq!(ui.get("/api/v1/nothing", &[&session]).await.status, 404);
    let page = ui.get("/clusters/ui-api/one", &[&session]).await.body;
    for words in
        ["helm-controller is scaled to 0", "kubectl --context one -n ui-api describe deployment helm-controller"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    drop(world.take_operator());
    let page = eventually("the page to say that nobody confirms it", async || {
        let body = ui.get("/", &[&session]).await.body;
        body.contains("no coordinator has written since").then_some(body)
    })
    .await;
    assert!(page.contains("These statuses may be old"), "{page}");
}

#[tokio::test]
async fn hostile_texts_are_shown_as_text() {
    let _validation = with_validation().await;
    let world = World::new("ui-hostile").await;
    let message = "<script>alert(1)</script> \u{1b}[2J \u{202e}gnp \" onload=x '";
    cluster(&world, "berlin", "Failed", message).await;
    let ui = Ui::start(&["-n", "ui-hostile"]).await;
    let session = ui.open().await;
    for path in
        ["/", "/problems", "/clusters", "/clusters/ui-hostile/berlin", "/clusters?q=%3Cscript%3Ealert(1)%3C/script%3E"]
    {
        let body = eventually("the view", async || {
            let answer = ui.get(path, &[&session]).await;
            (answer.status == 200 && !answer.body.contains("has not answered yet")).then_some(answer.body)
        })
        .await;
        assert!(
            !body.contains("<script>alert") && !body.contains('\u{1b}') && !body.contains('\u{202e}'),
            "{path}: {body}"
        );
    }
    let bad = ui.get("/clusters?l=%3Cb%3E", &[&session]).await;
    assert!(bad.status == 400 && bad.body.contains("l: ") && !bad.body.contains("<b>"), "{bad:?}");
}
