//! The `simulator` program.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::Rng;
use testkit::command::duration;
use testkit::usage::{self, Usage};

use crate::{Component, ComponentId, Fault, Health, Settings, Simulator};

/// Simulate API servers on loopback, with the components of five tools, until Ctrl-C.
///
/// Each cluster has its own address (127.a.b.c) on one port, real TLS, HTTP/1.1 and HTTP/2, and lists and watches with
/// bookmarks, expiry and 410 like a real API server. For testing a client against thousands of healthy or faulty
/// clusters; `loadtest run` starts its own.
///
/// Example: simulator --targets 1000 --breaks 20 --share 0.2 --fault hang-in-tls
#[derive(Debug, clap::Parser)]
#[command(name = "simulator", version)]
pub struct Cli {
    /// Number of clusters.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    targets: u32,
    /// Write the clusters' addresses to this file, for `loadtest limit` [default: stdout]
    #[arg(long, value_name = "FILE")]
    addresses: Option<PathBuf>,
    /// Also print the kubeconfig of the first cluster.
    #[arg(long)]
    kubeconfig: bool,
    /// Fault of the --share of clusters from the start.
    #[arg(long, value_enum)]
    fault: Option<Fault>,
    /// Fraction of the clusters that has the fault.
    #[arg(long, default_value_t = 1.0)]
    share: f64,
    /// Network delay of everything sent.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    delay: Duration,
    /// Components that break per second, anywhere; each is repaired when the next one breaks.
    #[arg(long, value_name = "A SECOND", default_value_t = 0.0)]
    breaks: f64,
    /// Interval between bookmarks of a watch.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    bookmarks: Duration,
    /// Offer only HTTP/1.1.
    #[arg(long)]
    http1: bool,
}

/// Simulates until Ctrl-C; prints counts and resource usage on stderr every 10 s.
///
/// # Errors
/// Fails if the simulator can't start, the addresses can't be written, or /proc can't be read.
pub async fn run(args: Cli) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    usage::open_many_files();
    let settings = Settings { bookmarks: args.bookmarks, http2: !args.http1, ..Settings::default() };
    let simulator = Simulator::with(args.targets, settings).await?;
    simulator.delay(args.delay);
    if args.fault.is_some() {
        simulator.inject_share(args.share, args.fault);
    }
    let addresses = serde_json::to_string(&simulator.addresses())?;
    match &args.addresses {
        Some(file) => {
            std::fs::write(file, addresses).map_err(|error| format!("--addresses: {}: {error}", file.display()))?
        }
        None => println!("{addresses}"),
    }
    if args.kubeconfig {
        println!("{}", simulator.kubeconfig(0));
    }
    eprintln!("{} clusters answer from {} on; Ctrl-C ends them", args.targets, simulator.address(0).host);
    tokio::select! {
        result = print_stats(&simulator) => result,
        never = break_and_mend(&simulator, args.breaks) => match never {},
        ended = tokio::signal::ctrl_c() => Ok(ended?),
    }
}

async fn print_stats(simulator: &Simulator) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    const EVERY: Duration = Duration::from_secs(10);
    let (mut before, mut then) = (Usage::own()?, Instant::now());
    loop {
        tokio::time::sleep(EVERY).await;
        let (now, counts) = (Usage::own()?, simulator.counts());
        eprintln!(
            "{} connections open, {} accepted, {} watches, {} requests; {} MiB, {:.2} cores",
            counts.open,
            counts.accepted,
            counts.open_watches,
            counts.requests(),
            now.rss >> 10,
            now.cores_since(&before, then.elapsed())
        );
        (before, then) = (now, Instant::now());
    }
}

async fn break_and_mend(simulator: &Simulator, a_second: f64) -> std::convert::Infallible {
    let breakable: Vec<ComponentId> =
        simulator.components().filter(Component::is_vital).map(|component| component.id).collect();
    if a_second <= 0.0 {
        return std::future::pending().await;
    }
    let mut broken = None;
    loop {
        if let Some((number, id)) = broken {
            simulator.set(number, id, Health::Healthy);
        }
        let number = rand::rng().random_range(0..simulator.clusters());
        let id = breakable[rand::rng().random_range(0..breakable.len())];
        simulator.set(number, id, Health::Broken);
        broken = Some((number, id));
        tokio::time::sleep(Duration::from_secs_f64(1.0 / a_second)).await;
    }
}
