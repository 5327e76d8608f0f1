//! Runs the coordinator's decision functions, without I/O, at fleet sizes that no single machine can run. Members come
//! and go by a seed.
//!
//! ```text
//! seed ─> targets, replicas ─> first map ─> deaths, newcomers, rolls ─> map after map ─> a row of figures
//! ```

mod exchange;
mod fleet;
mod packing;

use clap::Parser;
use fleet::{Figures, Fleet};

/// Simulate the coordinator's decisions for fleets of any size and print their cost.
#[derive(Debug, Parser)]
#[command(name = "sizing")]
struct Args {
    /// Fleets to simulate, as targets/replicas.
    #[arg(long = "fleet", value_name = "TARGETS/REPLICAS", value_parser = size, default_values = [
        "1000/3", "10000/3", "10000/10", "100000/30", "100000/100", "100000/300",
    ])]
    fleets: Vec<(u32, u32)>,
    /// Seed of the names and of the order in which replicas die.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Membership changes per fleet.
    #[arg(long, default_value_t = 100)]
    changes: u32,
    /// Print JSON, one line per fleet.
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("{text} is not TARGETS/REPLICAS, such as 10000/3");
    let (targets, replicas) = text.split_once('/').ok_or_else(wrong)?;
    match (targets.parse().map_err(|_| wrong())?, replicas.parse().map_err(|_| wrong())?) {
        (_, 0) => Err("a fleet needs a replica".to_owned()),
        size => Ok(size),
    }
}

fn main() {
    let args = Args::parse();
    let figures: Vec<Figures> = args
        .fleets
        .iter()
        .map(|(targets, replicas)| {
            eprintln!("{targets} targets, {replicas} replicas …");
            Fleet::new(*targets, *replicas, args.seed).live(args.changes)
        })
        .collect();
    match args.json {
        true => figures.iter().for_each(|figures| println!("{}", figures.json())),
        false => {
            println!("{}", Figures::table(&figures));
            for (targets, replicas) in &args.fleets {
                println!("{}", packing::table(*targets, *replicas));
            }
        }
    }
}
