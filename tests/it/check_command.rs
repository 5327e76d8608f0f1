//! `ksit check`, run as a user would run it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use testkit::workloads::Workloads;
use tokio::process::Command;

use crate::kit::{install_flux, target};

struct Checked {
    code: i32,
    stdout: String,
    stderr: String,
}

async fn check(kubeconfig: &str, args: &[&str]) -> Checked {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    fs::write(&path, kubeconfig).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
    let output = command.arg("check").arg("--kubeconfig").arg(path).args(args).output().await.unwrap();
    Checked {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn flux(namespace: &str) -> (String, Workloads) {
    (target().await.kubeconfig(), install_flux(namespace).await)
}

#[tokio::test]
async fn check_exits_0_healthy_1_broken_2_unreachable() {
    let (kubeconfig, workloads) = flux("check-codes").await;
    let args = ["--type", "flux", "--set", "namespace=check-codes"];
    let healthy = check(&kubeconfig, &args).await;
    assert_eq!(healthy.code, 0, "{}{}", healthy.stdout, healthy.stderr);
    let lines: Vec<&str> = healthy.stdout.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["CONTEXT", "TOOL", "PHASE", "MESSAGE"]);
    assert!(lines[1].starts_with("target") && lines[1].contains("4/4 components healthy"), "{}", lines[1]);

    workloads.scale("Deployment", "check-codes", "helm-controller", 0).await.unwrap();
    let broken = check(&kubeconfig, &args).await;
    assert_eq!(broken.code, 1, "{}", broken.stdout);
    assert!(broken.stdout.contains("Deployment check-codes/helm-controller is scaled to 0"), "{}", broken.stdout);
    let json: Value =
        serde_json::from_str(&check(&kubeconfig, &[&args[..], &["-o", "json"]].concat()).await.stdout).unwrap();
    assert_eq!(json[0]["phase"], "Failed");
    assert!(json[0]["components"].as_array().unwrap().iter().any(|seen| seen["state"] == "NotReady"));
    let wide = check(&kubeconfig, &[&args[..], &["-o", "wide"]].concat()).await;
    assert!(wide.stdout.contains("Deployment helm-controller"), "{}", wide.stdout);

    // A bound port without a listener.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let elsewhere = kubeconfig.replace(&target().await.url(), &format!("https://{}", closed.local_addr().unwrap()));
    let unreachable = check(&elsewhere, &args).await;
    assert_eq!(unreachable.code, 2, "{}", unreachable.stdout);
    assert!(unreachable.stdout.contains("ConnectFailed"), "{}", unreachable.stdout);
}

#[tokio::test]
async fn check_without_type_counts_only_installed_tools() {
    let (kubeconfig, _) = flux("flux-system").await;
    let found = check(&kubeconfig, &[]).await;
    assert_eq!(found.code, 0, "{}{}", found.stdout, found.stderr);
    let line = |tool: &str| found.stdout.lines().find(|line| line.contains(tool)).unwrap_or_default().to_owned();
    assert!(line("Running").contains("flux"), "{}", found.stdout);
    assert!(line("not installed: ").contains("istio"), "{}", found.stdout);
}

/// The user's own kubeconfig is trusted as kubectl trusts it: its plugin runs, its files are read.
#[tokio::test]
async fn check_runs_exec_plugins_and_reads_ca_files() {
    let (_, _) = flux("check-exec").await;
    let plane = target().await;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let ca = write("ca.crt", plane.ca_pem());
    let token = plane.service_account_token("check-exec", "default").await.unwrap();
    let plugin = write(
        "plugin",
        &format!(
            "#!/bin/sh\necho '{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\
             \"status\":{{\"token\":\"{token}\"}}}}'\n"
        ),
    );
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let kubeconfig = with_plugin(&plane.url(), &ca, &plugin);
    let checked = check(&kubeconfig, &["--type", "flux", "--set", "namespace=check-exec"]).await;
    // The ServiceAccount is authenticated but has no rights: the missing rule is named.
    assert_eq!(checked.code, 1, "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("Forbidden") && checked.stdout.contains("add to a Role"), "{}", checked.stdout);
}

fn with_plugin(server: &str, ca: &Path, plugin: &Path) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "eks",
        "contexts": [{ "name": "eks", "context": { "cluster": "eks", "user": "eks" } }],
        "clusters": [{ "name": "eks", "cluster": { "server": server, "certificate-authority": ca } }],
        "users": [{ "name": "eks", "user": { "exec": { "apiVersion": "client.authentication.k8s.io/v1",
            "command": plugin, "interactiveMode": "Never" } } }],
    })
    .to_string()
}

#[tokio::test]
async fn check_names_the_wrong_argument() {
    let (kubeconfig, _) = flux("check-wrong").await;
    let rows: [(&[&str], &str); 5] = [
        (&["--type", "heroku"], "use one of argocd, flux"),
        (&["--context", "moon"], "--context: \"moon\" is not one of target"),
        (&["--set", "namespace=x"], "--set namespace: write TYPE.namespace=…, or give exactly one --type"),
        (&["--type", "flux", "--set", "namespce=x"], "namespce"),
        (&["--type", "flux", "--set", "namespace"], "write it as key=value"),
    ];
    for (args, words) in rows {
        let wrong = check(&kubeconfig, args).await;
        assert_eq!(wrong.code, 2, "{args:?}");
        assert!(wrong.stderr.contains(words), "{args:?}: {}", wrong.stderr);
        assert!(wrong.stdout.is_empty());
    }
}
