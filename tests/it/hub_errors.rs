//! A hub that is down, not ready, or not a hub: every command that uses it names it, the cause, and a remedy.

use std::io;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::kit::{hub, target};

static COMMANDS: [&[&str]; 5] = [
    &["fleet", "--context", "office"],
    &["shards", "--context", "office"],
    &["target", "berlin", "--context", "office"],
    &["target", "add", "--hub-context", "office", "--context", "office", "--dry-run"],
    &["target", "import", "--from", "argocd", "--context", "office", "--dry-run"],
];

/// A user's kubeconfig whose hub has a URL chosen by the test.
struct Office {
    dir: TempDir,
    file: Value,
}

impl Office {
    /// Renames the one context of `kubeconfig` to `office`.
    fn new(kubeconfig: &str) -> Self {
        let mut file: Value = serde_json::from_str(kubeconfig).unwrap();
        file["contexts"][0]["name"] = json!("office");
        file["current-context"] = json!("office");
        Self { dir: tempfile::tempdir().unwrap(), file }
    }

    fn cluster(&mut self) -> &mut Value {
        &mut self.file["clusters"][0]["cluster"]
    }

    fn at(mut self, url: &str) -> Self {
        self.cluster()["server"] = json!(url);
        self
    }

    fn path(&self) -> PathBuf {
        let path = self.dir.path().join("kubeconfig");
        std::fs::write(&path, self.file.to_string()).unwrap();
        path
    }

    /// Asserts that every command fails, and prints all of `words`.
    async fn fails(&self, words: &[&str]) {
        self.fail(COMMANDS.iter(), &[], words).await;
    }

    async fn fail(
        &self,
        commands: impl Iterator<Item = &'static &'static [&'static str]>,
        flags: &[&str],
        words: &[&str],
    ) {
        for args in commands {
            let output = ksit(args).args(flags).arg("--kubeconfig").arg(self.path()).output().await.unwrap();
            let text = text(&output);
            assert!(output.status.code().is_some_and(|code| code == 1 || code == 2), "{args:?}: {text}");
            for words in words {
                assert!(text.contains(words), "{args:?}: {words}: {text}");
            }
        }
    }
}

fn ksit(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
    command.args(args).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn unreachable_hub_is_named_with_the_cause() {
    let office = || async { Office::new(&hub().await.kubeconfig()) };
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("https://{}", closed.local_addr().unwrap());
    office().await.at(&url).fails(&[&url, "context office", "refuses connections"]).await;
    let nowhere = "https://hub.invalid:6443";
    office().await.at(nowhere).fails(&[nowhere, "context office", "does not resolve"]).await;
    let mut distrusted = office().await;
    distrusted.cluster()["certificate-authority-data"] = {
        let other: Value = serde_json::from_str(&target().await.kubeconfig()).unwrap();
        other["clusters"][0]["cluster"]["certificate-authority-data"].clone()
    };
    distrusted.fails(&[&hub().await.url(), "context office", "is not signed by the CA"]).await;
    let unknown = Office::new(&hub().await.kubeconfig_with_token("wrong"));
    unknown.fails(&[&hub().await.url(), "context office", "credential"]).await;
    drop(closed);
}

/// The server accepts connections and never answers, neither TLS nor a plain HTTP request.
#[tokio::test]
async fn silent_hub_times_out_with_a_clear_message() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let listening = async {
        let mut open = Vec::new();
        loop {
            open.push(silent.accept().await.unwrap());
        }
    };
    let asking = async {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{address}");
            let office = Office::new(&hub().await.kubeconfig()).at(&url);
            let words = [url.as_str(), "context office", "within 1 s", "--request-timeout"];
            let commands = COMMANDS.iter().filter(|args| scheme == "https" || !args.contains(&"add"));
            office.fail(commands, &["--request-timeout", "1s"], &words).await;
        }
    };
    tokio::select! { _ = listening => {}, () = asking => {} }
}

#[tokio::test]
async fn cluster_without_crds_is_refused_as_hub() {
    let url = target().await.url();
    let words = [url.as_str(), "context office", "ksit's CRDs are not on this cluster", "ksit crds"];
    let office = Office::new(&target().await.kubeconfig());
    for args in COMMANDS.iter().filter(|args| !args.contains(&"import")) {
        let output = ksit(args).arg("--kubeconfig").arg(office.path()).output().await.unwrap();
        for words in words {
            assert!(text(&output).contains(words), "{args:?}: {words}: {}", text(&output));
        }
    }
}

/// A gateway answers, or the path is wrong.
#[tokio::test]
async fn answer_that_is_not_kubernetes_is_not_shown() {
    let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gateway.local_addr().unwrap());
    let answering = async {
        loop {
            let (mut stream, _) = gateway.accept().await.unwrap();
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let page = "<html>planted</html>";
            let head = format!("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", page.len());
            let _ = stream.write_all(format!("{head}{page}").as_bytes()).await;
        }
    };
    let asking = async {
        let office = Office::new(&hub().await.kubeconfig()).at(&url);
        let commands = COMMANDS.iter().filter(|args| !args.contains(&"add"));
        office.fail(commands, &[], &[&url, "context office", "not the Kubernetes API"]).await;
        let output = ksit(&["fleet", "--kubeconfig"]).arg(office.path()).output().await.unwrap();
        assert!(!text(&output).contains("planted"), "{}", text(&output));
    };
    tokio::select! { () = answering => {}, () = asking => {} }
}

/// The reader closes the pipe early, as `head` and `grep -q` do.
#[tokio::test]
async fn closed_pipe_ends_every_command_quietly() {
    let (hub, target) = (hub().await.kubeconfig_path(), target().await.kubeconfig_path());
    let (hub, target) = (hub.to_str().unwrap(), target.to_str().unwrap());
    let commands: [(&[&str], i32); 9] = [
        (&["crds"], 0),
        (&["--help"], 0),
        (&["types", "-o", "wide"], 0),
        (&["check", "--kubeconfig", target, "--type", "vault"], 1),
        (&["fleet", "-A", "--kubeconfig", hub], 0),
        (&["fleet", "-A", "--watch", "--kubeconfig", hub], 0),
        (&["shards", "-A", "--kubeconfig", hub], 0),
        (&["target", "moon", "--kubeconfig", hub], 2),
        (&["target", "add", "--kubeconfig", hub, "--all-contexts", "--dry-run"], 0),
    ];
    for (args, code) in commands {
        for closes_errors in [false, true] {
            let (reader, writer) = io::pipe().unwrap();
            drop(reader);
            let mut command = ksit(args);
            command.stdout(writer.try_clone().unwrap()).stderr(Stdio::piped());
            if closes_errors {
                command.stderr(writer);
            }
            // Not `output()`, which replaces the pipes.
            let output = command.spawn().unwrap().wait_with_output().await.unwrap();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output));
            assert!(!text(&output).contains("panicked") && !text(&output).contains("roken pipe"), "{}", text(&output));
        }
    }
}
