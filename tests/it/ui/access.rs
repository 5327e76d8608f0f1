//! Access: on a laptop by the printed URL, in the cluster by a token of the hub.

use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::kit::{Ui, cluster, cookie};
use crate::kit::{World, eventually, hub, with_validation};

#[tokio::test]
async fn printed_url_opens_one_session_of_this_machine() {
    let world = World::new("ui-local").await;
    let ui = Ui::start(&["-n", "ui-local"]).await;
    assert!(ui.address.starts_with("127.0.0.1:"), "{}", ui.address);
    for path in ["/", "/problems", "/clusters/ui-local/one", "/api/v1/clusters", "/events"] {
        assert_eq!(ui.get(path, &[]).await.status, 401, "{path} without a session");
    }
    assert_eq!(ui.get("/?token=guessed", &[]).await.status, 401);
    let opened = ui.get(&ui.once, &[]).await;
    assert!(opened.head.contains("location: /\r\n") && opened.status == 303, "{opened:?}");
    let set = opened.head.lines().find(|line| line.starts_with("set-cookie")).unwrap();
    for part in ["__Host-", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = cookie(&opened);
    assert_eq!(ui.get(&ui.once, &[]).await.status, 401, "the URL works once");
    let page = ui.get("/", &[&cookie]).await;
    assert_eq!(page.status, 200);
    for header in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "no-store"] {
        assert!(page.head.contains(header), "{}", page.head);
    }
    for header in ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example"] {
        assert_eq!(ui.get("/", &[&cookie, header]).await.status, 403, "{header}");
    }
    assert_eq!(ui.get("/", &[&cookie, "Host: evil.example"]).await.status, 403, "a name that points here");
    let signed_out = ui.send("POST", "/logout", &[&cookie, "Sec-Fetch-Site: cross-site"], "").await;
    assert_eq!((signed_out.status, ui.get("/", &[&cookie]).await.status), (403, 200), "not by another site");
    drop(world);
}

#[tokio::test]
async fn page_without_users_is_for_loopback_only() {
    let kubeconfig = hub().await.kubeconfig_path();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ksit"));
    let command = command.args(["ui", "--bind-address=0.0.0.0:0", "--kubeconfig"]).arg(kubeconfig);
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("use 127.0.0.1"), "{output:?}");
}

/// A ServiceAccount of the hub that may list IntegrationTargets in `world`; its token as a header.
async fn reader(world: &World, name: &str, may_list: bool) -> String {
    let token = hub().await.service_account_token(&world.namespace, name).await.unwrap();
    if may_list {
        let rules = json!([{ "apiGroups": ["ksit.io"], "resources": ["integrationtargets"], "verbs": ["list"] }]);
        let params = PatchParams::apply("test").force();
        let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": { "name": name }, "rules": rules });
        let roles: Api<Role> = Api::namespaced(world.client.clone(), &world.namespace);
        roles.patch(name, &params, &Patch::Apply(role)).await.unwrap();
        let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": world.namespace }] });
        let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.namespace);
        bindings.patch(name, &params, &Patch::Apply(binding)).await.unwrap();
    }
    format!("Authorization: Bearer {token}")
}

#[tokio::test]
async fn user_sees_only_namespaces_that_the_hub_lets_list() {
    let _validation = with_validation().await;
    let (own, other) = (World::new("ui-own").await, World::new("ui-other").await);
    cluster(&own, "berlin", "Failed", "web is not ready").await;
    cluster(&other, "quito", "Failed", "secret-project is not ready").await;
    let ui = Ui::start(&["--in-cluster", "--namespaces=ui-own,ui-other"]).await;
    let (user, stranger) = (reader(&own, "user", true).await, reader(&own, "stranger", false).await);
    eventually("both clusters to be known", async || {
        let all = ui.get("/api/v1/clusters", &[&format!("Authorization: Bearer {}", admin(&own).await)]).await;
        (all.body.contains("berlin") && all.body.contains("quito")).then_some(())
    })
    .await;

    for (header, status) in [("Authorization: Bearer nonsense", 401), (stranger.as_str(), 403)] {
        assert_eq!(ui.get("/", &[header]).await.status, status, "{status}");
        assert_eq!(ui.get("/api/v1/clusters", &[header]).await.status, status);
        assert_eq!(ui.get("/events", &[header]).await.status, status);
    }
    for path in [
        "/",
        "/problems",
        "/clusters",
        "/clusters?q=quito",
        "/clusters?ns=ui-other",
        "/versions",
        "/api/v1/clusters",
        "/api/v1/problems",
        "/api/v1/fleet",
        "/api/v1/versions",
        "/clusters?q=secret",
    ] {
        let answer = ui.get(path, &[&user]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("quito") || path.contains("q=quito"), "{path}: {}", answer.body);
        assert!(!answer.body.contains("secret-project"), "{path}");
        assert!(!answer.body.contains("ui-other") || path.contains("ns=ui-other"), "{path}");
    }
    assert_eq!(ui.get("/clusters/ui-other/quito", &[&user]).await.status, 404);
    assert_eq!(ui.get("/api/v1/clusters/ui-other/quito", &[&user]).await.status, 404);
    assert_eq!(ui.get("/clusters/ui-own/berlin", &[&user]).await.status, 200);
    let counts: Value = serde_json::from_str(&ui.get("/api/v1/fleet", &[&user]).await.body).unwrap();
    assert_eq!(counts["clusters"], json!({ "Failed": 1 }));

    let mut events = ui.events(&user).await;
    assert_eq!(events.next(Duration::from_secs(30)).await.as_deref(), Some("change"));
    // The first lists of the other kinds concern everybody.
    while events.next(Duration::from_secs(3)).await.is_some() {}
    cluster(&other, "quito", "Running", "").await;
    assert_eq!(events.next(Duration::from_secs(3)).await, None, "a change of another namespace");
    cluster(&own, "berlin", "Running", "").await;
    assert_eq!(events.next(Duration::from_secs(30)).await.as_deref(), Some("change"));

    let typed = format!("token={}", user.trim_start_matches("Authorization: Bearer "));
    let form = "Content-Type: application/x-www-form-urlencoded";
    assert_eq!(ui.send("POST", "/login", &[form, "Sec-Fetch-Site: cross-site"], &typed).await.status, 403);
    let session = cookie(&ui.send("POST", "/login", &[form], &typed).await);
    assert_eq!(ui.get("/clusters/ui-own/berlin", &[&session]).await.status, 200);
    // The token of a deleted account is void.
    let accounts: Api<ServiceAccount> = Api::namespaced(own.client.clone(), "ui-own");
    accounts.delete("user", &DeleteParams::default()).await.unwrap();
    eventually("the revoked token to show nothing", async || {
        (ui.get("/", &[&user]).await.status == 401 && ui.get("/", &[&session]).await.status == 401).then_some(())
    })
    .await;
    assert_eq!(events.next(Duration::from_secs(60)).await.as_deref(), Some("denied"));
}

/// The token of an account that may do anything.
async fn admin(world: &World) -> String {
    use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
    let token = hub().await.service_account_token(&world.namespace, "admin").await.unwrap();
    let name = format!("admin-of-{}", world.namespace);
    let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "admin", "namespace": world.namespace }] });
    let bindings: Api<ClusterRoleBinding> = Api::all(world.client.clone());
    bindings.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(binding)).await.unwrap();
    token
}
