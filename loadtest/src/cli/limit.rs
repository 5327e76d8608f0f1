//! `loadtest limit`

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use simulator::Addresses;
use testkit::command::duration;
use testkit::usage::{self, Usage};

use crate::limit::{Limit, Settings};

/// Bare-transport baseline: hold the connections and watches that ksit would hold, with plain hyper and rustls, until
/// Ctrl-C.
///
/// For each target: one HTTP/2 connection, the lists, watches and CRDs of all five integrations, and one list and one
/// CRD per interval. Responses are read and discarded. Run against the same targets as ksit, its memory, CPU and time
/// until all targets are watched are the cost of the transport itself.
///
/// Prints one line of JSON when all targets are watched, and progress on stderr. With --part, several processes share
/// the targets as replicas do; each has as many threads as a replica: half of the processors, at most four.
///
/// Example: simulator --targets 1000 --addresses fleet.json, then loadtest limit fleet.json
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Addresses of the targets, as written by `simulator --addresses`; `-` for stdin.
    #[arg(value_name = "FILE")]
    addresses: PathBuf,
    /// Use only the targets of part I of N (0/3, 1/3, 2/3).
    #[arg(long, value_name = "I/N", default_value = "0/1", value_parser = part)]
    part: (usize, usize),
    /// Interval between liveness requests to a target.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    interval: Duration,
    /// Concurrent connection attempts.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Settings::default().connects)]
    connects: usize,
}

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    usage::open_many_files();
    let mut addresses: Addresses = serde_json::from_str(&read(&args.addresses)?)
        .map_err(|error| format!("{}: {error}", args.addresses.display()))?;
    if let Some(other) = addresses.targets.iter().find(|target| !target.host.is_loopback()) {
        return Err(format!("{} is not on this machine: load is only put on loopback addresses", other.host).into());
    }
    let (part, parts) = args.part;
    let mut number = 0;
    addresses.targets.retain(|_| {
        number += 1;
        (number - 1) % parts == part
    });
    let settings = Settings { interval: args.interval, connects: args.connects, ..Settings::default() };
    let limit = Limit::start(addresses, settings)?;
    tokio::select! {
        took = limit.until_complete(|progress| eprintln!("{progress}")) => {
            let (targets, seconds) = (limit.progress().targets(), took.as_secs_f64());
            println!("{}", serde_json::json!({ "targets": targets, "seconds": seconds, "usage": Usage::own()? }));
        }
        _ = tokio::signal::ctrl_c() => return Ok(()),
    }
    tokio::signal::ctrl_c().await?;
    eprintln!("{}", limit.progress());
    Ok(())
}

fn read(path: &std::path::Path) -> Result<String, String> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(|_| text),
        _ => std::fs::read_to_string(path),
    };
    read.map_err(|error| format!("{}: {error}", path.display()))
}

fn part(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    parts.filter(|(part, parts)| part < parts).ok_or_else(|| "write it as 0/3, 1/3 or 2/3".to_owned())
}
