//! Runs the chart's tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::Value;
use testkit::Tool;

pub const NAMESPACE: &str = "ksit-system";

/// Result and output of a tool.
#[derive(Debug)]
pub struct Outcome {
    pub is_ok: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a tool of the cache, building it first if necessary. Blocks, so it runs on a thread for blocking work.
pub async fn run(tool: Tool, arguments: &[&str]) -> Outcome {
    run_with(tool, arguments, "").await
}

pub async fn run_with(tool: Tool, arguments: &[&str], input: &str) -> Outcome {
    let (arguments, input): (Vec<String>, String) =
        (arguments.iter().map(|argument| (*argument).to_owned()).collect(), input.to_owned());
    tokio::task::spawn_blocking(move || blocking(tool, &arguments, input)).await.unwrap()
}

fn blocking(tool: Tool, arguments: &[String], input: String) -> Outcome {
    use std::io::Write;
    use std::process::Stdio;
    let mut command = Command::new(tool.path().unwrap());
    // An empty home: no settings of the user, and nothing left behind.
    let home = tempfile::tempdir().unwrap();
    command.args(arguments).env("HOME", home.path()).env_remove("KUBECONFIG").current_dir(root());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Writes from a thread: a tool that writes while it reads would deadlock. The write fails if the tool has exited.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { is_ok: output.status.success(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn chart() -> PathBuf {
    root().join("chart")
}

/// Renders the release `ksit` in `namespace`, with `--set` for each of `values`.
pub async fn template(namespace: &str, values: &[&str]) -> Outcome {
    let chart = chart().display().to_string();
    let mut arguments = vec!["template", "ksit", &chart, "--namespace", namespace];
    for value in values {
        arguments.extend(["--set", value]);
    }
    run(Tool::Helm, &arguments).await
}

/// The rendered text; panics if rendering fails.
pub async fn rendered(namespace: &str, values: &[&str]) -> String {
    let outcome = template(namespace, values).await;
    assert!(outcome.is_ok, "{values:?}: {}", outcome.stderr);
    outcome.stdout
}

/// The rendered objects without hooks.
pub async fn objects(namespace: &str, values: &[&str]) -> Vec<Value> {
    let all = documents(&rendered(namespace, values).await);
    all.into_iter().filter(|object| object.pointer("/metadata/annotations/helm.sh~1hook").is_none()).collect()
}

pub fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// Server-side apply, in the given order.
pub async fn apply_all(client: &Client, objects: impl IntoIterator<Item = &Value>) {
    for object in objects {
        let (group, version) = object["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap_or(("", "v1"));
        let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let name = object["metadata"]["name"].as_str().unwrap();
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
    }
}

pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}
