//! `loadtest run --baseline` measures another operator on the same clusters, and restores the fleet afterwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ksit::api::Integration;
use kube::api::{Api, PostParams};
use loadtest::run::{Fleet, Mode, NAMESPACE, Plan, Provider, Script, Settings, run};

const KSIT: &str = env!("CARGO_BIN_EXE_ksit");

#[tokio::test]
async fn baseline_without_cluster_requests_is_an_error() {
    let settings = Settings {
        plan: Plan::Script("short".to_owned(), serde_saphyr::from_str::<Script>("about: x.\nsteps: []\n").unwrap()),
        ksit: PathBuf::from(KSIT),
        provider: Provider::Sim,
        targets: 2,
        replicas: 1,
        times: None,
        duration: Duration::ZERO,
        mode: Mode::Auto,
        measure_baseline: false,
        comparator: Some("sleep 600".to_owned()),
        flags: Vec::new(),
        seed: 1,
    };
    let error = run(&settings).await.unwrap_err().to_string();
    assert!(error.starts_with("--baseline: sleep 600: sent no request to any cluster"), "{error}");
}

/// The Go toolkit doesn't know `targetSelector`, and drops the field when it adds its finalizer.
#[tokio::test]
async fn baseline_without_selectors_restores_integrations() {
    let fleet = Fleet::prepare(Path::new(KSIT), 3, &[]).await.unwrap();
    let integrations: Api<Integration> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let first = integrations.get("flux").await.unwrap();
    fleet.name_clusters().await.unwrap();
    let mut named = integrations.get("flux").await.unwrap();
    let clusters = ["c00000", "c00001", "c00002"].map(str::to_owned).to_vec();
    assert_eq!((&named.spec.target_clusters, &named.spec.target_selector), (&Some(clusters), &None));
    named.metadata.finalizers = Some(vec!["ksit.io/finalizer".to_owned()]);
    integrations.replace("flux", &PostParams::default(), &named).await.unwrap();
    fleet.select_clusters().await.unwrap();
    let last = integrations.get("flux").await.unwrap();
    assert_eq!((last.spec, last.metadata.finalizers), (first.spec, None));
}
