//! The subcommands of `ksit target`, run as a user would run them.

mod add;
mod import;
mod remove;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

pub struct Ran {
    pub code: i32,
    stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The row of a cluster in the JSON output.
    fn row(&self, from: &str) -> Value {
        let rows: Vec<Value> = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}", self.all()));
        rows.into_iter().find(|row| row["from"] == from).unwrap_or_else(|| panic!("{from}: {}", self.all()))
    }

    fn result(&self, from: &str) -> (String, String) {
        let row = self.row(from);
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        (text("result"), text("message"))
    }

    pub fn all(&self) -> String {
        format!("code {}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs `ksit target …` with this kubeconfig, without a terminal.
pub async fn ksit_target(kubeconfig: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
    command.arg("target").args(args).env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A user's kubeconfig with several contexts, built from files with one each. The first is the current one.
pub struct Contexts {
    dir: tempfile::TempDir,
    contexts: Vec<Value>,
    clusters: Vec<Value>,
    users: Vec<Value>,
}

impl Contexts {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, contexts: Vec::new(), clusters: Vec::new(), users: Vec::new() }
    }

    /// Adds the one context of `file` under this name; `change` edits its cluster and user first.
    pub fn add(&mut self, name: &str, file: &str, change: impl FnOnce(&mut Value, &mut Value)) {
        let file: Value = serde_json::from_str(file).unwrap();
        let (mut cluster, mut user) = (file["clusters"][0]["cluster"].clone(), file["users"][0]["user"].clone());
        change(&mut cluster, &mut user);
        self.contexts.push(json!({ "name": name, "context": { "cluster": name, "user": name } }));
        self.clusters.push(json!({ "name": name, "cluster": cluster }));
        self.users.push(json!({ "name": name, "user": user }));
    }

    pub fn write(&self) -> std::path::PathBuf {
        let path = self.dir.path().join("kubeconfig");
        let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": self.contexts[0]["name"],
            "contexts": self.contexts, "clusters": self.clusters, "users": self.users });
        fs::write(&path, config.to_string()).unwrap();
        path
    }
}
