//! A registry on this machine.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::{Process, Tool};

use super::{ReleaseError, write};

/// Time limit for its start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running registry without TLS, on a port of loopback. Dropping it ends it and removes its content.
pub(super) struct Registry {
    /// Such as `127.0.0.1:40123`.
    pub(super) address: String,
    _process: Process,
    _folder: TempDir,
}

impl Registry {
    /// Starts the registry and waits until it listens.
    ///
    /// # Errors
    /// If it can't be built, or ends.
    pub(super) async fn start() -> Result<Self, ReleaseError> {
        let program = tokio::task::spawn_blocking(|| Tool::Registry.path()).await??;
        let folder = tempfile::tempdir()?;
        let (config, log) = (folder.path().join("config.yml"), folder.path().join("log"));
        let storage = folder.path().join("storage").display().to_string();
        let settings = serde_json::json!({
            "version": 0.1,
            "storage": { "filesystem": { "rootdirectory": storage } },
            "http": { "addr": "127.0.0.1:0" },
        });
        write(&config, settings.to_string())?;
        let arguments = ["serve".to_owned(), config.display().to_string()];
        let mut process = Process::start("registry", &program, &arguments, &[], &log, Some(folder.path()))?;
        let start = Instant::now();
        loop {
            process.check()?;
            if let Some(address) = address(&std::fs::read_to_string(&log)?) {
                return Ok(Self { address, _process: process, _folder: folder });
            }
            if start.elapsed() > PATIENCE {
                return Err(process.not_ready(PATIENCE).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The address in the log, after `listening on `.
pub(super) fn address(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("listening on ")?;
    let address: String = rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    // The rest of the line may not be written yet.
    (rest.len() > address.len()).then_some(address)
}
