//! Logs through `tracing`: text for people, JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging to standard error. `filter` is a level or `tracing` directives (`info,ksit=debug`).
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), String> {
    // kube logs every request that fails and every answer that it can't parse; whoever asked says it better.
    let filter = if filter.contains("kube") { filter.to_owned() } else { format!("{filter},kube_client=off") };
    let filter = EnvFilter::builder().parse(&filter).map_err(|error| {
        format!("--log-level: {filter:?} is not a level or filter such as info or info,ksit=debug: {error}")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| error.to_string())
}
