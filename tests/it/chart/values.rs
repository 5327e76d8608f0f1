//! The chart's objects for given values, and values that it refuses.

use serde_json::json;
use testkit::Tool;

use super::helm::{NAMESPACE, chart, objects, of_kind, run, template};

#[tokio::test]
async fn helm_lint_finds_nothing() {
    let chart = chart().display().to_string();
    let values = "serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true";
    for values in ["", values, "clusterWide=true,replicas=1"] {
        let outcome = run(Tool::Helm, &["lint", "--strict", &chart, "--set", values]).await;
        assert!(outcome.is_ok, "{outcome:?}");
    }
}

#[tokio::test]
async fn unknown_values_are_refused_by_name() {
    for (value, named) in [
        ("replica=3", "replica"),
        ("config.intervall=30s", "intervall"),
        ("image.registry=example", "registry"),
        ("serviceMonitor.enable=true", "enable"),
        ("livenessProbe.httpGet.path=/", "httpGet"),
        ("config.checkMode=often", "checkMode"),
        ("config.interval=30", "interval"),
        ("image.digest=sha256:1", "digest"),
        ("watchNamespaces[0]=Team", "watchNamespaces"),
    ] {
        let outcome = template(NAMESPACE, &[value]).await;
        assert!(!outcome.is_ok && outcome.stderr.contains(named), "{value}: {outcome:?}");
    }
    let both = template(NAMESPACE, &["clusterWide=true", "watchNamespaces[0]=a"]).await;
    assert!(both.stderr.contains("set only one of them"), "{both:?}");
}

#[tokio::test]
async fn default_rights_outside_the_namespace_are_two() {
    let objects = objects(NAMESPACE, &[]).await;
    for role in of_kind(&objects, "ClusterRole") {
        let only =
            json!([{ "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] }]);
        assert_eq!(role["rules"], only, "{role}");
    }
    let elsewhere: Vec<_> =
        of_kind(&objects, "Role").into_iter().filter(|role| role["metadata"]["namespace"] != NAMESPACE).collect();
    // Reads the API server's addresses, since no target may be the hub.
    let only = json!([{ "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"],
        "resourceNames": ["kubernetes"], "verbs": ["get"] }]);
    assert_eq!(elsewhere.iter().map(|role| &role["rules"]).collect::<Vec<_>>(), [&only]);
    assert_eq!(elsewhere[0]["metadata"]["namespace"], "default");
    let account = of_kind(&objects, "ServiceAccount")[0];
    assert_eq!(account["automountServiceAccountToken"], false);
}

#[tokio::test]
async fn watched_namespaces_get_a_role_each() {
    let objects = objects(NAMESPACE, &["watchNamespaces={team-a,team-b}"]).await;
    let mut places: Vec<&str> = of_kind(&objects, "Role")
        .iter()
        .filter(|role| role["rules"].to_string().contains("secrets"))
        .map(|role| role["metadata"]["namespace"].as_str().unwrap())
        .collect();
    places.sort_unstable();
    assert_eq!(places, ["team-a", "team-b"]);
    let set = of_kind(&objects, "StatefulSet")[0].to_string();
    assert!(set.contains("--watch-namespaces=team-a,team-b"), "{set}");
    let fence = of_kind(&objects, "ValidatingAdmissionPolicyBinding")[0];
    assert!(fence.to_string().contains(r#"["team-a","team-b"]"#), "{fence}");
}

#[tokio::test]
async fn cluster_wide_watch_is_opt_in() {
    let objects = objects(NAMESPACE, &["clusterWide=true"]).await;
    let set = of_kind(&objects, "StatefulSet")[0].to_string();
    assert!(!set.contains("--watch-namespaces"), "{set}");
    let reads_secrets = |role: &&&serde_json::Value| role["rules"].to_string().contains("secrets");
    assert_eq!(of_kind(&objects, "ClusterRole").iter().filter(reads_secrets).count(), 1);
    assert_eq!(of_kind(&objects, "Role").iter().filter(reads_secrets).count(), 0);
}

#[tokio::test]
async fn single_replica_has_no_disruption_budget() {
    assert_eq!(of_kind(&objects(NAMESPACE, &["replicas=1"]).await, "PodDisruptionBudget").len(), 0);
    assert_eq!(of_kind(&objects(NAMESPACE, &["replicas=2"]).await, "PodDisruptionBudget").len(), 1);
}

#[tokio::test]
async fn grace_period_covers_the_drain_timeout() {
    for (values, seconds) in [
        (vec![], 30),
        (vec!["config.drainTimeout=1m30s"], 110),
        (vec!["config.drainTimeout=45s", "terminationGracePeriodSeconds=50"], 50),
    ] {
        let objects = objects(NAMESPACE, &values).await;
        let set = of_kind(&objects, "StatefulSet")[0];
        assert_eq!(set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], seconds, "{values:?}");
    }
}

#[tokio::test]
async fn crds_are_kept_unless_disabled() {
    let policy = "/metadata/annotations/helm.sh~1resource-policy";
    for (values, count, keep) in
        [(vec![], 6, Some("keep")), (vec!["crds.keep=false"], 6, None), (vec!["crds.install=false"], 0, None)]
    {
        let objects = objects(NAMESPACE, &values).await;
        let crds = of_kind(&objects, "CustomResourceDefinition");
        assert_eq!(crds.len(), count, "{values:?}");
        let kept = crds.iter().all(|crd| crd.pointer(policy).and_then(|policy| policy.as_str()) == keep);
        assert!(kept, "{values:?}");
    }
}

#[tokio::test]
async fn image_digest_takes_precedence_over_the_tag() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let values = ["image.repository=example/ksit", "image.tag=v2", &format!("image.digest={digest}")];
    let objects = objects(NAMESPACE, &values).await;
    let container = &of_kind(&objects, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], format!("example/ksit@{digest}"));
}

#[tokio::test]
async fn other_installations_expose_only_their_leases() {
    let objects = objects(NAMESPACE, &["otherInstallations={other}"]).await;
    let there = |role: &&&serde_json::Value| role["metadata"]["namespace"] == "other";
    let roles = of_kind(&objects, "Role");
    let roles: Vec<_> = roles.iter().filter(there).collect();
    let only = json!([{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"] }]);
    assert_eq!(roles.iter().map(|role| &role["rules"]).collect::<Vec<_>>(), [&only]);
}
