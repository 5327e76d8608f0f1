//! What the coordinator decides at sizes that no one machine can run: the very functions that decide, without the I/O
//! around them, on members that come and go by a seed.
//!
//! ```text
//! seed ─> targets, replicas ─> first map ─> deaths, newcomers, rolls ─> map after map ─> a row of figures
//! ```

mod exchange;
mod fleet;
mod packing;

use clap::Parser;
use fleet::{Figures, Fleet};

/// Simulates the coordinator's decisions for fleets of any size, and prints what they cost.
#[derive(Debug, Parser)]
#[command(name = "sizing")]
struct Args {
    /// Fleets to try, as targets/replicas.
    #[arg(long = "fleet", value_name = "TARGETS/REPLICAS", value_parser = size, default_values = [
        "1000/3", "10000/3", "10000/10", "100000/30", "100000/100", "100000/300",
    ])]
    fleets: Vec<(u32, u32)>,
    /// Decides the names, and who dies when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Changes of membership that are tried on each fleet.
    #[arg(long, default_value_t = 100)]
    changes: u32,
    /// Prints JSON, one line a fleet.
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
