//! Metrics of the process, under the names that every Prometheus client gives them. The client's own collector reads files
//! for all of them, and shows zeros when no descriptor is left to open these: the very moment that they are for.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

use super::metrics::{Metrics, as_gauge};

/// The commit, where the build gives it.
const REVISION: &str = match option_env!("KSIT_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Just before anything is shown.
pub(super) fn measure(metrics: &Metrics) {
    let limit = getrlimit(Resource::Nofile).current;
    metrics.max_fds.set(limit.map_or(i64::MAX, as_gauge));
    match fs::read_dir("/proc/self/fd") {
        // But for the one that reads them.
        Ok(open) => metrics.open_fds.set(as_gauge(open.count()) - 1),
        Err(_) => metrics.open_fds.set(metrics.max_fds.get()),
    }
    if let Some(resident) = resident() {
        metrics.resident_memory.set(resident);
    }
}

/// Once: to the second, it began now.
pub(super) fn measure_start(metrics: &Metrics) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics.start_time.set(as_gauge(since.as_secs()));
    metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION]).set(1);
}

/// The second number of `statm`, which counts pages.
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
