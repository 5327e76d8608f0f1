//! Measures process metrics, under the standard names of Prometheus clients. The crate's own collector opens files for
//! all of them, and shows zeros when the process is out of file descriptors: just when they matter.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

use super::build::BUILD;
use super::metrics::{Metrics, as_gauge};

/// Updates the metrics before each scrape.
pub(super) fn measure(metrics: &Metrics) {
    let limit = getrlimit(Resource::Nofile).current;
    metrics.max_fds.set(limit.map_or(i64::MAX, as_gauge));
    match fs::read_dir("/proc/self/fd") {
        // Except for the descriptor of this directory.
        Ok(open) => metrics.open_fds.set(as_gauge(open.count()) - 1),
        Err(_) => metrics.open_fds.set(metrics.max_fds.get()),
    }
    if let Some(resident) = resident() {
        metrics.resident_memory.set(resident);
    }
}

/// Sets the constant metrics. The process has started just now, to the second.
pub(super) fn measure_start(metrics: &Metrics) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics.start_time.set(as_gauge(since.as_secs()));
    metrics.build_info.with_label_values(&[BUILD.version, BUILD.revision]).set(1);
}

/// Returns the resident memory in bytes: the second field of `statm`, in pages.
fn resident() -> Option<i64> {
    let pages: i64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(as_gauge(page_size())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_metrics_are_measured() {
        let metrics = Metrics::new().unwrap();
        measure(&metrics);
        let open = metrics.open_fds.get();
        let files: Vec<_> = (0..7).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(open > 2 && open < metrics.max_fds.get(), "{open}");
        assert!(metrics.resident_memory.get() > 1 << 20);
        assert!(metrics.start_time.get() > 1_700_000_000);
        drop(files);
    }
}
