//! Tests that a control plane ends with the program that started it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);

fn eventually(what: &str, look: impl Fn() -> bool) {
    let start = Instant::now();
    while !look() {
        assert!(start.elapsed() < PATIENCE, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// SIGKILL of the owner: only the programs' own watchers can clean up.
#[test]
fn killed_owner_leaves_no_process_and_no_file() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["control-plane", "--name", "killed"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").unwrap();
    let dir = Path::new(kubeconfig).parent().unwrap().to_owned();
    assert_eq!(processes_of(&dir).len(), 2, "etcd and kube-apiserver");
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("its processes end", || processes_of(&dir).is_empty());
    eventually("its folder is deleted", || !dir.exists());
}

/// Pids of programs with the folder on their command line.
fn processes_of(dir: &Path) -> Vec<String> {
    let wanted = dir.to_str().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            command.contains(wanted) && !command.starts_with("sh\0")
        })
        .collect()
}
