//! Reads a process' resource usage from /proc.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;

/// Resource usage at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Resident memory in KiB.
    pub rss: u64,
    /// Resident memory with shared pages divided by the number of sharing processes, in KiB.
    pub pss: u64,
    /// User and system CPU time so far, in seconds.
    pub cpu: f64,
    /// Number of threads.
    pub threads: u64,
    /// Open file descriptors.
    pub fds: u64,
}

impl Usage {
    /// Full usage; fails if the process does not exist. The kernel walks all pages, about 20 ms per 300 MiB: see
    /// [`Self::glance`].
    ///
    /// # Errors
    /// Fails if the process does not exist, or belongs to another user.
    pub fn of(pid: u32) -> io::Result<Self> {
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let kib = |name: &str| {
            let line = memory.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        let (rss, pss) = (kib("Rss:").unwrap_or(0), kib("Pss:").unwrap_or(0));
        Ok(Self { rss, pss, ..Self::without_memory(pid)? })
    }

    /// Cheap usage: assumes as much shared memory as in the earlier `full` reading.
    ///
    /// # Errors
    /// Fails if the process does not exist, or belongs to another user.
    pub fn glance(pid: u32, full: &Self) -> io::Result<Self> {
        let pages = fs::read_to_string(format!("/proc/{pid}/statm"))?;
        let resident: u64 = pages.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        let rss = resident * system(SysconfVar::PAGE_SIZE, 4096.0) as u64 / 1024;
        Ok(Self { rss, pss: rss.saturating_sub(full.rss - full.pss), ..Self::without_memory(pid)? })
    }

    fn without_memory(pid: u32) -> io::Result<Self> {
        let folder = format!("/proc/{pid}");
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The second field is the name in parentheses, which may hold anything.
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
            .unwrap_or_default();
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
        let folder = format!("{folder}/fd");
        let fds = match fs::metadata(&folder)?.len() {
            // Linux before 6.2 has no count.
            0 => fs::read_dir(&folder)?.count() as u64,
            count => count,
        };
        let cpu = (field(14) + field(15)) as f64 / system(SysconfVar::CLK_TCK, 100.0);
        Ok(Self { rss: 0, pss: 0, cpu, threads: field(20), fds })
    }

    /// Full usage of this process.
    ///
    /// # Errors
    /// Fails if /proc is not mounted.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Total of several processes.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            rss: sum.rss + one.rss,
            pss: sum.pss + one.pss,
            cpu: sum.cpu + one.cpu,
            threads: sum.threads + one.threads,
            fds: sum.fds + one.fds,
        })
    }

    /// Cores used since `before`, a duration of `ago`.
    pub fn cores_since(&self, before: &Self, ago: Duration) -> f64 {
        (self.cpu - before.cpu) / ago.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn system(variable: SysconfVar, default: f64) -> f64 {
    sysconf(variable).ok().flatten().map_or(default, |value| value as f64)
}

/// Steal time of all processors together since boot, in seconds: the time the host withheld from this virtual machine.
/// 0 where unknown.
pub fn steal() -> f64 {
    let ticks = fs::read_to_string("/proc/stat").ok().and_then(|stat| steal_in(&stat)).unwrap_or_default();
    ticks as f64 / system(SysconfVar::CLK_TCK, 100.0)
}

/// Steal time in ticks.
fn steal_in(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("cpu "))?.split_whitespace().nth(7)?.parse().ok()
}

/// Raises the limit of open files of this process and its children to the maximum, and returns it.
pub fn open_many_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_field_of_the_cpu_line() {
        let stat = "cpu  4401534 56727 720765 4780500 14592 0 148883 201762 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(steal_in(stat), Some(201_762));
        assert_eq!(steal_in("cpu  1 2 3\n"), None);
        assert!(steal_in(&fs::read_to_string("/proc/stat").unwrap()).is_some());
    }

    #[test]
    fn own_usage_is_read() {
        let usage = Usage::own().unwrap();
        assert!(usage.rss > 1000 && usage.pss > 0 && usage.threads > 0 && usage.fds > 2, "{usage:?}");
        let glance = Usage::glance(std::process::id(), &usage).unwrap();
        assert!(glance.pss.abs_diff(usage.pss) < usage.pss / 2, "{usage:?}, {glance:?}");
        assert!(Usage::of(u32::MAX).is_err());
        assert!(open_many_files() > 0);
    }
}
