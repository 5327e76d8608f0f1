//! Makes a release, publishes it and compares what was published.
//!
//! ```text
//! programs, pages ── one archive for each platform ───┐
//! SBOM, made by make ─────────────────────────────────┼─> assemble: image, chart, plugin, sums ─> publish ─> registry
//! chart ──────────────────────────────────────────────┘                                            ▲           │
//!                                                                                    compared ─────┴── pulled ─┘
//! ```
//!
//! The dry run does all of it with a registry on this machine, and installs the plugin. The output depends on neither
//! the clock nor the machine.

mod archive;
mod assemble;
mod chart;
mod dry_run;
mod names;
mod on_kind;
mod plugin;
mod publish;
mod registry;
mod sums;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use testkit::Tool;
use testkit::kind::run;

use names::Platform;

pub(crate) use archive::make_all as make_archives;
pub(crate) use assemble::assemble;
pub(crate) use dry_run::dry_run;
pub(crate) use names::{check_tag, image, registry};
pub(crate) use publish::{login, publish};

pub(crate) type ReleaseError = Box<dyn std::error::Error + Send + Sync>;

/// Version of the release.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Seconds since 1970 that files get: the time of the commit, as make sets it.
fn time() -> u64 {
    std::env::var("KSIT_EPOCH").ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a tool to its end and returns its stdout.
async fn run_tool(tool: Tool, arguments: &[&str], env: &[(&str, &str)]) -> Result<String, ReleaseError> {
    let program = tokio::task::spawn_blocking(move || tool.path()).await??;
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    run(&program.display().to_string(), &arguments, env).await
}

/// Writes a file; the error names it.
fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), ReleaseError> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Reads a file; the error names it.
fn read(path: &Path) -> Result<Vec<u8>, ReleaseError> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
