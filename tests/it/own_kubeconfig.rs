//! A user's own kubeconfig that is invalid or holds secrets, given to every command that reads one.

mod as_kubectl;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::kit::{hub, install_flux, target};

/// Every command that reads its user's kubeconfig.
const COMMANDS: [&[&str]; 7] = [
    &["check", "--all-contexts", "--type", "flux"],
    &["fleet"],
    &["shards"],
    &["target", "berlin"],
    &["target", "add", "--all-contexts", "--dry-run"],
    &["target", "import", "--from", "argocd", "--dry-run"],
    &["operator", "--metrics-bind-address=127.0.0.1:0", "--report-bind-address=127.0.0.1:0"],
];

struct Ran {
    code: Option<i32>,
    text: String,
}

/// A temporary folder with kubeconfigs and plugins.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn plugin(&self, name: &str, script: &str) -> PathBuf {
        let path = self.write(name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A kubeconfig with a context for each user, all of the same cluster. The first context is the current one.
    fn kubeconfig(&self, cluster: &Value, users: &[(&str, Value)]) -> PathBuf {
        let context = |name: &str| json!({ "name": name, "context": { "cluster": "c", "user": name } });
        let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": users[0].0,
            "contexts": users.iter().map(|(name, _)| context(name)).collect::<Vec<_>>(),
            "clusters": [{ "name": "c", "cluster": cluster }],
            "users": users.iter().map(|(name, user)| json!({ "name": name, "user": user })).collect::<Vec<_>>() });
        self.write("kubeconfig", &config.to_string())
    }
}

async fn ksit(kubeconfig: &Path, args: &[&str], envs: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
    command.args(args).arg("--kubeconfig").arg(kubeconfig).envs(envs.iter().copied()).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Ran { code: output.status.code(), text: format!("{out}{err}") }
}

/// The cluster and the user of a kubeconfig with one context.
fn entries(file: &str) -> (Value, Value) {
    let file: Value = serde_json::from_str(file).unwrap();
    (file["clusters"][0]["cluster"].clone(), file["users"][0]["user"].clone())
}

/// A command that can't read the given CA must not fall back to the system's CAs and send a credential.
#[tokio::test]
async fn unreadable_ca_is_refused_by_every_command() {
    let (folder, plane) = (Folder::new(), target().await);
    let (cluster, user) = entries(&plane.kubeconfig());
    let pem = plane.ca_pem();
    // Stands in for a CA that the system trusts.
    let system = folder.write("system.crt", pem);
    let envs = [("SSL_CERT_FILE", system.to_str().unwrap())];
    let der: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let trusted = STANDARD.encode(pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"));
    let twice = STANDARD.encode(STANDARD.encode(pem));
    let named = folder.write("empty.crt", "no certificate\n");
    let data = "certificate-authority-data";
    let rows = [
        (data, "DATA+OMITTED", "certificate-authority-data is what kubectl config view shows without --raw"),
        (data, &der, "certificate-authority-data holds no certificate in PEM"),
        (data, &trusted, "certificate-authority-data holds no certificate in PEM"),
        (data, &twice, "certificate-authority-data holds no certificate in PEM"),
        (data, "-----", "certificate-authority-data is not base64"),
        ("certificate-authority", named.to_str().unwrap(), "certificate-authority holds no certificate in PEM"),
        ("certificate-authority", "/nowhere/ca.crt", "certificate-authority: /nowhere/ca.crt: No such file"),
    ];
    for (field, value, words) in rows {
        let mut cluster = cluster.clone();
        cluster.as_object_mut().unwrap().remove(data);
        cluster[field] = json!(value);
        let kubeconfig = folder.kubeconfig(&cluster, &[("me", user.clone())]);
        for args in COMMANDS {
            let ran = ksit(&kubeconfig, args, &envs).await;
            assert_eq!(ran.code, Some(2), "{args:?} {field} {value:.20}: {}", ran.text);
            assert!(ran.text.contains(words), "{args:?} {field} {value:.20}: {}", ran.text);
        }
    }
    let mut without = cluster.clone();
    without.as_object_mut().unwrap().remove(data);
    let kubeconfig = folder.kubeconfig(&without, &[("me", user)]);
    let check = ksit(&kubeconfig, &["check", "--type", "flux"], &envs).await;
    assert!(
        check.text.contains("Flux") || check.code == Some(0) || check.code == Some(1),
        "without a CA the system's CAs apply: {}",
        check.text
    );
}

/// Covers the file's contents, and a plugin's arguments, environment and output.
#[tokio::test]
async fn credentials_appear_in_no_message_of_any_command() {
    let folder = Folder::new();
    let fails = folder.plugin("fails", "echo planted-output; exit 3");
    let chats = folder.plugin("chats", "echo '{\"planted-output\": planted-output'");
    let mistypes = folder.plugin("mistypes", "echo '{\"status\": {\"token\": [\"planted-output\"]}}'");
    let exec = |command: &Path| {
        json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": command,
            "args": ["--client-secret", "planted-argument"], "interactiveMode": "Never",
            "env": [{ "name": "AZURE_CLIENT_SECRET", "value": "planted-environment" }] } })
    };
    let provider = |command: &Path| {
        json!({ "auth-provider": { "name": "gcp", "config": { "cmd-path": command, "cmd-args": "planted-argument",
            "token-key": "{.a}" } } })
    };
    let cluster = json!({ "server": "https://127.0.0.1:1", "certificate-authority-data": STANDARD.encode(target().await.ca_pem()) });
    let tab = "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n\
        contexts: [{name: c, context: {cluster: c, user: c}}]\nusers:\n- name: c\n  user:\n    token: planted-token\n    \
        password: planted-password\n\tusername: x\n";
    let mistyped =
        json!({ "apiVersion": "v1", "kind": "Config", "contexts": ["planted-token"], "users": "planted-token" });
    let broken = [(folder.write("tab", tab), "line 10"), (folder.write("mistyped", &mistyped.to_string()), "line 1")];
    for (kubeconfig, words) in broken {
        for args in COMMANDS {
            let ran = ksit(&kubeconfig, args, &[]).await;
            assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.text);
            assert!(ran.text.contains(words) && !ran.text.contains("planted"), "{args:?}: {}", ran.text);
        }
    }
    for (user, words) in [
        (exec(&fails), "the credential plugin "),
        (exec(&chats), "printed no ExecCredential"),
        (exec(&mistypes), "printed no ExecCredential"),
        (provider(&fails), "the credential plugin "),
        (provider(&chats), "auth-provider"),
        (json!({ "token": "planted\u{1}token" }), "token holds characters"),
        (json!({ "client-certificate-data": "planted-", "client-key-data": "planted-" }), "is not base64"),
    ] {
        let kubeconfig = folder.kubeconfig(&cluster, &[("me", user)]);
        for args in COMMANDS {
            let ran = ksit(&kubeconfig, args, &[]).await;
            assert_ne!(ran.code, Some(0), "{args:?}: {}", ran.text);
            assert!(!ran.text.contains("planted") && !ran.text.contains("panicked"), "{args:?}: {}", ran.text);
            assert!(args[0] == "operator" || ran.text.contains(words), "{args:?}: {words}: {}", ran.text);
        }
    }
}

/// One plugin is missing, another waits for a login for ever.
#[tokio::test]
async fn plugin_without_output_is_named_and_delays_no_other() {
    let folder = Folder::new();
    let waits = folder.plugin("waits", "sleep 600");
    let (cluster, user) = entries(&target().await.kubeconfig());
    install_flux("own-plugin").await;
    let exec = |command: &str| {
        json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": command,
            "installHint": "Install it from https://docs.example.test", "interactiveMode": "Never" } })
    };
    let users = [("waits", exec(waits.to_str().unwrap())), ("gone", exec("no-such-plugin-x")), ("good", user)];
    let kubeconfig = folder.kubeconfig(&cluster, &users);
    let args =
        ["check", "--all-contexts", "--type", "flux", "--set", "namespace=own-plugin", "--timeout", "3s", "-owide"];
    let ran = ksit(&kubeconfig, &args, &[]).await;
    let row =
        |name: &str| ran.text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{}", ran.text));
    assert!(row("waits").contains("gave nothing within 3 s"), "{}", ran.text);
    assert!(
        row("gone").contains("no-such-plugin-x") && row("gone").contains("Install it from https://docs"),
        "{}",
        ran.text
    );
    assert!(row("good").contains("4/4 components healthy"), "{}", ran.text);
}

#[tokio::test]
async fn token_with_a_newline_does_not_abort_the_check() {
    let (folder, plane) = (Folder::new(), target().await);
    install_flux("own-newline").await;
    let token = plane.service_account_token("own-newline", "default").await.unwrap();
    let (cluster, _) = entries(&plane.kubeconfig());
    let credential = |token: &str| {
        let credential = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": { "token": token } });
        format!("cat <<'END'\n{credential}\nEND")
    };
    let exec = |command: &Path| {
        json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": command,
            "interactiveMode": "Never" } })
    };
    let provider = json!({ "auth-provider": { "name": "oidc", "config": { "id-token": format!("{token}\n") } } });
    let users = [
        ("plain", json!({ "token": token })),
        ("newline", json!({ "token": format!("{token}\n") })),
        ("file", json!({ "tokenFile": folder.write("token", &format!("{token}\r\n")) })),
        ("plugin", exec(&folder.plugin("newline", &credential(&format!("{token}\n"))))),
        ("control", json!({ "token": "a\u{1}b" })),
        ("odd-plugin", exec(&folder.plugin("odd", &credential("a\nb")))),
        ("provider", provider),
        ("other", json!({ "token": token, "as": "system:admin" })),
    ];
    let kubeconfig = folder.kubeconfig(&cluster, &users);
    let args = ["check", "--all-contexts", "--type", "flux", "--set", "namespace=own-newline", "-owide"];
    let ran = ksit(&kubeconfig, &args, &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.text);
    for (name, words) in [
        ("plain", "Forbidden"),
        ("newline", "Forbidden"),
        ("file", "Forbidden"),
        ("plugin", "Forbidden"),
        ("control", "KubeconfigInvalid"),
        ("odd-plugin", "KubeconfigInvalid"),
        ("provider", "KubeconfigInvalid"),
        ("other", "as and as-groups are not supported"),
    ] {
        let row = ran.text.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(row.is_some_and(|row| row.contains(words)), "{name}: {words}: {}", ran.text);
    }
    let hub = hub().await;
    let (cluster, _) = entries(&hub.kubeconfig());
    let kubeconfig = folder.kubeconfig(&cluster, &[("me", json!({ "token": "t\n" }))]);
    for args in COMMANDS.iter().filter(|args| !["check", "operator"].contains(&args[0])) {
        let ran = ksit(&kubeconfig, args, &[]).await;
        assert!(ran.code.is_some_and(|code| code <= 2) && !ran.text.contains("panicked"), "{args:?}: {}", ran.text);
    }
}
