//! `ksit target import` of clusters that Argo CD and Cluster API keep on the hub.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use ksit::api::IntegrationTarget;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use testkit::workloads::Workloads;

use super::{Contexts, Ran, ksit_target};
use crate::kit::{World, hub, target};

async fn import(args: &[&str]) -> Ran {
    let mut contexts = Contexts::new();
    contexts.add("hub", &hub().await.kubeconfig(), |_, _| {});
    let ran = ksit_target(&contexts.write(), &[&["import"], args].concat()).await;
    let shown = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!shown.contains("s3cret") && !shown.contains("eyJ") && !shown.contains("LS0t"), "{shown}");
    ran
}

async fn labels(world: &World, name: &str) -> Value {
    let api: Api<IntegrationTarget> = Api::namespaced(world.client.clone(), &world.namespace);
    let labels = api.get(name).await.unwrap().spec.labels.unwrap_or_default();
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let found = api.list(&ListParams::default().labels(&selector.join(","))).await.unwrap();
    assert!(found.iter().any(|target| target.name_any() == name), "kubectl get -l {selector:?} doesn't show {name}");
    json!(labels)
}

/// Applies a cluster Secret of Argo CD.
async fn argocd_cluster(namespace: &str, secret: &str, name: &str, server: &str, config: Value) {
    let api: Api<Secret> = Api::namespaced(hub().await.client().await.unwrap(), namespace);
    let object = json!({ "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": secret, "labels": { "argocd.argoproj.io/secret-type": "cluster", "env": "prod" } },
        "stringData": { "name": name, "server": server, "config": config.to_string() } });
    api.patch(secret, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
}

/// One cluster of each kind, in the namespace `source`.
async fn argocd_clusters(source: &str) {
    let plane = target().await;
    let url = plane.url();
    let ca = STANDARD.encode(plane.ca_pem());
    let admin: Value = serde_json::from_str(&plane.kubeconfig()).unwrap();
    let admin = &admin["users"][0]["user"];
    Workloads::new(plane.client().await.unwrap()).namespace("import-argocd").await.unwrap();
    let token = plane.service_account_token("import-argocd", "argocd-manager").await.unwrap();
    let rows = [
        ("a", "Eu West", url.as_str(), json!({ "bearerToken": token, "tlsClientConfig": { "caData": ca } })),
        (
            "b",
            "cert",
            &url,
            json!({ "tlsClientConfig": { "caData": ca, "insecure": false,
            "certData": admin["client-certificate-data"], "keyData": admin["client-key-data"] } }),
        ),
        ("c", "gke", &url, json!({ "execProviderConfig": { "command": "argocd-k8s-auth", "env": { "X": "s3cret" } } })),
        (
            "d",
            "aws",
            "https://D.gr7.eu-west-1.eks.amazonaws.com",
            json!({ "awsAuthConfig": { "clusterName": "prod" }, "tlsClientConfig": { "caData": ca } }),
        ),
        ("e", "lax", &url, json!({ "bearerToken": "s3cret", "tlsClientConfig": { "insecure": true } })),
        ("f", "open", &url, json!({ "bearerToken": "s3cret" })),
        ("g", "in-cluster", "https://kubernetes.default.svc", json!({ "tlsClientConfig": { "insecure": false } })),
        ("h", "eu west", &url, json!({ "bearerToken": "s3cret", "tlsClientConfig": { "caData": ca } })),
    ];
    for (secret, name, server, config) in rows {
        argocd_cluster(source, secret, name, server, config).await;
    }
}

#[tokio::test]
async fn import_of_argo_cd_clusters_names_the_skipped_ones() {
    let source = "import-argocd-source";
    let mut world = World::new("import-argocd").await;
    Workloads::new(world.client.clone()).namespace(source).await.unwrap();
    argocd_clusters(source).await;
    let args = ["--from", "argocd", "--argocd-namespace", source, "-n", "import-argocd", "-o", "json"];
    let without_consent = import(&args).await;
    assert_eq!(without_consent.code, 2, "{}", without_consent.all());
    for (consent, done) in [("--dry-run", "Planned"), ("--yes", "Added"), ("--yes", "Added")] {
        let ran = import(&[&args[..], &[consent]].concat()).await;
        assert_eq!(ran.code, 1, "two clusters map to one name: {}", ran.all());
        for (secret, result, words) in [
            ("a", done, ""),
            ("b", done, ""),
            ("c", "Skipped", "execProviderConfig is not accepted"),
            ("d", done, "needs --access-namespaces=import-argocd"),
            ("e", "Skipped", "tlsClientConfig.insecure is not accepted"),
            ("f", done, ""),
            ("g", "Skipped", "this is the hub itself"),
            ("h", "Failed", "its name would be the same as that of Secret import-argocd-source/a"),
        ] {
            let (found, message) = ran.result(&format!("Secret {source}/{secret}"));
            assert_eq!(found, result, "{secret}: {message}");
            assert!(message.contains(words), "{secret}: {message}");
        }
        if consent == "--dry-run" {
            let api: Api<IntegrationTarget> = Api::namespaced(world.client.clone(), "import-argocd");
            assert!(api.list(&Default::default()).await.unwrap().items.is_empty());
        }
    }
    assert_eq!(labels(&world, "eu-west").await, json!({ "env": "prod" }));
    let api: Api<IntegrationTarget> = Api::namespaced(world.client.clone(), "import-argocd");
    let access = api.get("aws").await.unwrap().spec.access.unwrap();
    let eks = json!({ "clusterName": "prod", "region": "eu-west-1" });
    assert_eq!(json!(access.eks), eks, "an identity needs no Secret");
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), "import-argocd");
    assert!(secrets.get_opt("aws-kubeconfig").await.unwrap().is_none());
    world.start_operator(&[]).await;
    world.until_reach("eu-west", "Connected").await;
    world.until_reach("cert", "Connected").await;
    gone_clusters_are_pruned(&world, source, &args).await;
}

/// Installs the part of Cluster API's CustomResourceDefinition that serves its objects.
async fn install_cluster_api() {
    let api: Api<CustomResourceDefinition> = Api::all(hub().await.client().await.unwrap());
    let version = json!({ "name": "v1beta2", "served": true, "storage": true,
        "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } });
    let crd = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "clusters.cluster.x-k8s.io" },
        "spec": { "group": "cluster.x-k8s.io", "scope": "Namespaced", "versions": [version],
            "names": { "kind": "Cluster", "plural": "clusters", "singular": "cluster" } } });
    let name = "clusters.cluster.x-k8s.io";
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(crd)).await.unwrap();
    await_condition(api, name, is_crd_established()).await.unwrap();
}

/// With --prune a target goes when its cluster does, and one of another source stays.
async fn gone_clusters_are_pruned(world: &World, source: &str, args: &[&str]) {
    world.apply("IntegrationTarget", "by-hand", json!({ "clusterName": "by-hand" })).await.unwrap();
    let sources: Api<Secret> = Api::namespaced(world.client.clone(), source);
    sources.delete("b", &Default::default()).await.unwrap();
    let ran = import(&[args, &["--yes", "--prune"]].concat()).await;
    assert!(ran.stdout.contains("\"Removed\""), "{}", ran.all());
    let api: Api<IntegrationTarget> = Api::namespaced(world.client.clone(), "import-argocd");
    let left: Vec<String> = api.list(&Default::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert!(!left.contains(&"cert".to_owned()) && left.contains(&"by-hand".to_owned()), "{left:?}");
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), "import-argocd");
    assert!(secrets.get_opt("cert-kubeconfig").await.unwrap().is_none());
}

#[tokio::test]
async fn import_of_cluster_api_reuses_its_kubeconfig_secrets() {
    let mut world = World::new("import-capi").await;
    let args = ["--from", "capi", "-n", "import-capi", "-o", "json"];
    let without = import(&[&args[..], &["--yes"]].concat()).await;
    assert_eq!(without.code, 2, "{}", without.all());
    assert!(without.stderr.contains("Cluster API is not on the hub"), "{}", without.stderr);
    install_cluster_api().await;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("cluster.x-k8s.io", "v1beta2", "Cluster"));
    let clusters: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "import-capi", &resource);
    for name in ["one", "two", "three"] {
        let cluster = json!({ "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
            "metadata": { "name": name, "labels": { "tier": "gold" } },
            "spec": { "controlPlaneEndpoint": { "host": "cp.example.com", "port": 6443 } } });
        clusters.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(cluster)).await.unwrap();
    }
    world.secret("one-kubeconfig", json!({ "value": target().await.kubeconfig() })).await;
    world.secret("three-kubeconfig", json!({ "value": r#"{"users": [{"user": {"token": "s3cret"}}]}"# })).await;
    for (consent, done) in [("--dry-run", "Planned"), ("--yes", "Added"), ("--yes", "Added")] {
        let ran = import(&[&args[..], &[consent]].concat()).await;
        assert_eq!(ran.code, 0, "{}", ran.all());
        assert_eq!(ran.result("Cluster import-capi/one").0, done);
        assert_eq!(ran.row("Cluster import-capi/one")["server"], "https://cp.example.com:6443");
        assert!(ran.result("Cluster import-capi/two").1.contains("Secret two-kubeconfig does not exist yet"));
        assert_eq!(ran.result("Cluster import-capi/three").0, "Skipped");
    }
    assert_eq!(labels(&world, "one").await, json!({ "tier": "gold" }));
    world.start_operator(&[]).await;
    let one = world.until_reach("one", "Connected").await;
    let reference = one.spec.kubeconfig_secret_ref.unwrap();
    assert_eq!((reference.name.as_str(), reference.key.as_deref()), ("one-kubeconfig", Some("value")));
}
