use std::io;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser;
use ksit::cli;
use tokio::runtime::Builder;

/// Gives back what the first lists of thousands of targets took for a moment.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whoever has many threads wakes them in turn for events that one would have taken together: of three replicas on two
/// processors, those with one thread each took 13 % less of them to start, and were not the slower for it.
const MOST_THREADS: usize = 4;

fn main() -> io::Result<ExitCode> {
    let cli = cli::Cli::parse();
    // A replica is not alone on its node. `loadtest limit`, beside which it is measured, has as many.
    let threads = available_parallelism().map_or(1, |processors| processors.get() / 2);
    let runtime = Builder::new_multi_thread().worker_threads(threads.clamp(1, MOST_THREADS)).enable_all().build()?;
    Ok(runtime.block_on(cli::run(cli)))
}
