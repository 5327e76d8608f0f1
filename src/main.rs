use std::io;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser;
use ksit::cli;
use tokio::runtime::Builder;

/// Returns the memory that the initial lists of thousands of targets take temporarily to the OS.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// More worker threads only add wake-ups: three replicas on two cores used 13 % less CPU to start with one thread each,
/// and were no slower.
const MAX_THREADS: usize = 4;

fn main() -> io::Result<ExitCode> {
    let cli = cli::Cli::parse();
    // Half the cores: a replica is not alone on its node. `loadtest limit`, the reference, uses the same number.
    let threads = available_parallelism().map_or(1, |processors| processors.get() / 2);
    let runtime = Builder::new_multi_thread().worker_threads(threads.clamp(1, MAX_THREADS)).enable_all().build()?;
    Ok(runtime.block_on(cli::run(cli)))
}
