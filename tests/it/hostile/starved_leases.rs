//! Every thread of the runtime is blocked for longer than a Lease lasts.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{FutureExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use ksit::controllers::descriptors::Descriptors;
use ksit::controllers::operator::{OperatorConfig, run};
use ksit::controllers::worker::CheckBy;
use ksit::domain::member::Timing;
use ksit::domain::replica::Incarnation;
use ksit::hub::{HubAccess, Silence};
use ksit::observability::TargetMetrics;
use ksit::targets::kubeconfig::Policy;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Config, ResourceExt};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use crate::kit::{World, eventually, hub};

const LEASE: Duration = Duration::from_secs(5);

/// Two Leases.
const BLOCKED: Duration = Duration::from_secs(10);

fn config(namespace: &str) -> OperatorConfig {
    OperatorConfig {
        me: Incarnation::new("ksit-0", "no-pod", "nonce"),
        namespace: namespace.to_owned(),
        installation: "ksit".to_owned(),
        timing: Timing { lease: LEASE, renew: Duration::from_secs(1), ..Timing::default() },
        report_bind_address: "127.0.0.1:0".parse().unwrap(),
        report_host: None,
        report_token_file: None,
        namespaces: vec![namespace.to_owned()],
        watch_secrets: false,
        round_deadline: Duration::from_secs(2),
        failure_threshold: 3,
        check_by: CheckBy::Auto,
        access_namespaces: Default::default(),
        oidc_token_lifetime: Duration::from_secs(3600),
        renew_tokens: false,
        cluster_profiles: false,
        target_metrics: TargetMetrics::Off,
        max_concurrent_reconciles: 8,
        max_concurrent_connects: 8,
        status_writes_per_second: 100,
        metrics_address: "127.0.0.1:0".parse().unwrap(),
        drain_deadline: Duration::from_secs(1),
        descriptors: Descriptors::raise(),
        policy: Policy { allow_loopback: true, ..Policy::default() },
    }
}

#[tokio::test]
async fn leases_are_renewed_while_all_workers_are_blocked() {
    let world = World::new("starved-leases").await;
    let kubeconfig = Kubeconfig::from_yaml(&hub().await.kubeconfig()).unwrap();
    let access = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = config(&world.namespace);
    let mut operator = runtime.spawn(async move {
        let access = HubAccess::to(access, Silence::default()).await.unwrap();
        run(config, access, stream::pending()).await
    });
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let versions = async || {
        let all = leases.list(&Default::default()).await.unwrap().items;
        all.into_iter().map(|lease| (lease.name_any(), lease.resource_version().unwrap())).collect::<Vec<_>>()
    };
    eventually("it to lead", async || {
        let leader = leases.get_opt("ksit-coordinator").await.unwrap()?.spec?.holder_identity?;
        leader.starts_with("ksit-0").then_some(())
    })
    .await;

    runtime.spawn(async { std::thread::sleep(BLOCKED) });
    sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let mut renewed = BTreeSet::new();
    while begun.elapsed() < BLOCKED - Duration::from_secs(1) {
        renewed.extend(versions().await);
        sleep(Duration::from_millis(200)).await;
    }
    let renewals = |name: &str| renewed.iter().filter(|(lease, _)| lease == name).count();
    let (member, coordinator) = (renewals("ksit-0"), renewals("ksit-coordinator"));
    assert!(member >= 5 && coordinator >= 5, "each is renewed once a second: {member}, {coordinator}");
    sleep(Duration::from_secs(2)).await;
    assert!((&mut operator).now_or_never().is_none(), "the replica still runs");
    operator.abort();
    runtime.shutdown_background();
}
