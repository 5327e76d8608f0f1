//! Arguments and signals that the programs built on the kit have in common.

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C or SIGTERM.
///
/// # Errors
/// Fails if the signal handlers can't be installed.
pub async fn interrupted() -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminated.recv() => Ok(()),
    }
}

/// Parses a Kubernetes duration: 20ms, 30s, 1h30m.
///
/// # Errors
/// Returns the expected form for text that is not a duration, or is negative.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration: kube::core::Duration = text.parse().map_err(|error| format!("{error}; write it as 30s or 1m30s"))?;
    if duration.is_negative() {
        return Err("it must not be negative".to_owned());
    }
    Ok(duration.into())
}

/// The ksit program given on the command line, or the one next to this program.
///
/// # Errors
/// Names the path if there is no file.
pub fn ksit(given: Option<PathBuf>) -> Result<PathBuf, String> {
    let sibling = || std::env::current_exe().map(|own| own.with_file_name("ksit")).unwrap_or_else(|_| "ksit".into());
    let program = given.unwrap_or_else(sibling);
    match program.exists() {
        true => Ok(program),
        false => Err(format!("--ksit: {} does not exist; run cargo build or cargo build --release", program.display())),
    }
}
