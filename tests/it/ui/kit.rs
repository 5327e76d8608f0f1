//! Starts `ksit ui`, and talks to it as a browser does.

use std::path::Path;
use std::time::Duration;

use ksit::api::IntegrationTarget;
use kube::api::{Api, Patch, PatchParams};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Process;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kit::{World, eventually, hub};

/// A running page.
pub struct Ui {
    /// Host and port.
    pub address: String,
    /// Path and query of the URL that was printed.
    pub once: String,
    process: Process,
    _dir: TempDir,
}

/// An answer of the page.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Ui {
    /// Starts the page with these flags; `line` is the start of the line that it prints before its URL.
    pub async fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (log, kubeconfig) = (dir.path().join("log"), hub().await.kubeconfig_path().display().to_string());
        let args = ["ui", "--kubeconfig", &kubeconfig].into_iter().chain(flags.iter().copied());
        let args: Vec<String> = args.map(str::to_owned).collect();
        let program = Path::new(env!("CARGO_BIN_EXE_ksit"));
        let process = Process::start("ksit-ui", program, &args, &[], &log, None).unwrap();
        let url = eventually("the page to be served", async || {
            let text = std::fs::read_to_string(&log).ok()?;
            let (_, after) = text.split_once("http://")?;
            after.split_once('\n').map(|(url, _)| url.to_owned())
        })
        .await;
        let (address, path) = url.split_once('/').unwrap_or((&url, ""));
        Self { address: address.to_owned(), once: format!("/{path}"), process, _dir: dir }
    }

    /// Opens the URL; returns the cookie of the session.
    pub async fn open(&self) -> String {
        cookie(&self.get(&self.once, &[]).await)
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal).unwrap();
    }

    pub async fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut stream = self.request(method, path, headers, body).await;
        let mut text = String::new();
        timeout(Duration::from_secs(30), stream.read_to_string(&mut text)).await.unwrap().unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    async fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let host = if headers.iter().any(|header| header.starts_with("Host:")) { "" } else { &self.address };
        let host = if host.is_empty() { String::new() } else { format!("Host: {host}\r\n") };
        let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\n{host}{more}Content-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream
    }

    /// The stream of events.
    pub async fn events(&self, header: &str) -> Events {
        let stream = self.request("GET", "/events", &[header, "Accept: text/event-stream"], "").await;
        Events(BufReader::new(stream))
    }
}

/// Events of the page, as they come.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// The name of the next event; `None` after `within`.
    pub async fn next(&mut self, within: Duration) -> Option<String> {
        let read = async {
            loop {
                let mut line = String::new();
                assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the stream has ended");
                if let Some(name) = line.strip_prefix("event: ") {
                    return name.trim().to_owned();
                }
            }
        };
        timeout(within, read).await.ok()
    }
}

/// The cookie that an answer sets, as a header.
pub fn cookie(answer: &Answer) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let line = line.unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    format!("Cookie: {}", line.split(';').next().unwrap())
}

/// Creates or changes an IntegrationTarget with one tool in this phase. Nothing checks it.
pub async fn cluster(world: &World, name: &str, phase: &str, message: &str) {
    let api: Api<IntegrationTarget> = Api::namespaced(world.client.clone(), &world.namespace);
    let object = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
        "metadata": { "name": name, "labels": { "env": "prod" } }, "spec": { "clusterName": name } });
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
    let reason = if phase == "Running" { "Healthy" } else { "ComponentNotReady" };
    let status: Value = json!({ "status": { "phase": phase, "ready": true, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z", "conditions": [],
        "integrations": [{ "name": "argocd", "type": "argocd", "phase": phase, "reason": reason, "message": message,
            "version": "2.13.1", "lastTransitionTime": "2026-01-01T00:00:00Z" }] } });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}
