//! Clusters whose statuses are written here, as a coordinator would.

use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::installation::install_crds;
use testkit::resources::{api, object};
use tokio::time::{MissedTickBehavior, interval};

use super::{PageError, Settings};

const NAMESPACE: &str = "fleet";

/// Requests at a time.
const CONCURRENT: usize = 16;

/// One cluster in so many is broken at the start.
const BROKEN: u32 = 50;

const TYPES: [&str; 8] =
    ["argocd", "flux", "prometheus", "istio", "cert-manager", "velero", "external-secrets", "kyverno"];

/// Creates the clusters with their statuses.
pub(super) async fn create(client: &Client, settings: &Settings) -> Result<(), PageError> {
    install_crds(client, &settings.ksit).await?;
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } }))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let targets = api(client, NAMESPACE, "IntegrationTarget");
    let one = async |number: u32| {
        let name = name(number);
        let mut target = object("IntegrationTarget", &name, json!({ "clusterName": name }));
        let env = ["prod", "staging", "test"][number as usize % 3];
        let region = format!("region-{}", number % 7);
        target.metadata.labels = Some([("env".to_owned(), env.to_owned()), ("region".to_owned(), region)].into());
        targets.create(&PostParams::default(), &target).await?;
        write(&targets, &name, &status(number, settings.integrations, number.is_multiple_of(BROKEN))).await
    };
    stream::iter((0..settings.targets).map(one)).buffer_unordered(CONCURRENT).try_collect::<()>().await
}

/// Breaks and repairs clusters in turn. Never ends but with an error.
pub(super) async fn change(client: Client, targets: u32, integrations: u32, per_second: u32) -> Result<(), PageError> {
    let all = api(&client, NAMESPACE, "IntegrationTarget");
    let mut ticks = interval(Duration::from_secs(1) / per_second.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for number in 0.. {
        ticks.tick().await;
        let (target, is_broken) = (number % targets, (number / targets).is_multiple_of(2));
        write(&all, &name(target), &status(target, integrations, is_broken)).await?;
    }
    Ok(())
}

async fn write(targets: &Api<DynamicObject>, name: &str, status: &Value) -> Result<(), PageError> {
    targets.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

fn name(number: u32) -> String {
    format!("c{number:05}")
}

/// A status as the coordinator writes it, of some 6 KB with eight tools.
fn status(number: u32, integrations: u32, is_broken: bool) -> Value {
    let time = Timestamp::now().to_string();
    let tool = |place: u32| {
        let type_ = TYPES[place as usize % TYPES.len()];
        let is_failed = is_broken && place == number % integrations;
        let (phase, reason) = if is_failed { ("Failed", "ComponentNotReady") } else { ("Running", "Healthy") };
        let message = if is_failed {
            "5/6 components healthy: Deployment tools/server has 0 of 3 ready: CrashLoopBackOff in container server: look at its log"
        } else {
            "6/6 components healthy"
        };
        let parts: Vec<String> = (0..6).map(|part| format!("Deployment tools/{type_}-part-{part} 3/3")).collect();
        json!({ "name": format!("{type_}-{place}"), "type": type_, "phase": phase, "reason": reason, "message": message,
            "version": format!("2.{}.1", number % 4 + 9), "lastTransitionTime": time, "healthyComponents": parts })
    };
    let tools: Vec<Value> = (0..integrations).map(tool).collect();
    let (phase, reason) = if is_broken { ("Failed", "ToolFailed") } else { ("Running", "Healthy") };
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": reason, "message": "the cluster answers", "lastTransitionTime": time });
    json!({ "status": { "phase": phase, "ready": true, "healthy": "8/8", "message": "all tools healthy",
        "conditions": [condition("Ready"), condition("Reachable"), condition("Watched")], "integrations": tools,
        "server": "https://10.0.0.1:6443", "reportedBy": "ksit-0", "lastTransitionTime": time, "lastSyncTime": time } })
}
