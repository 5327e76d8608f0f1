//! etcd's data put aside and put back, as an administrator restores a hub from a backup.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{ControlPlane, StartError};

/// For the kernel to stop every thread of etcd.
const TO_STOP: Duration = Duration::from_millis(200);

impl ControlPlane {
    /// Copies etcd's data as it is now. etcd stands still meanwhile, so the copy is what a power cut would leave.
    pub async fn back_up(&self) -> io::Result<()> {
        let etcd = self.etcd.as_ref().ok_or_else(|| io::Error::other("etcd is not running"))?;
        etcd.signal(Signal::SIGSTOP)?;
        sleep(TO_STOP).await;
        let copied = copy(Path::new(&self.path("etcd")), Path::new(&self.path("etcd-backup")));
        etcd.signal(Signal::SIGCONT)?;
        copied
    }

    /// Kills API server and etcd, puts the copy back, and starts both: the hub is back where it was, and counts
    /// resourceVersions from there.
    pub async fn restore(&mut self) -> Result<(), StartError> {
        self.stop_api_server();
        self.stop_etcd();
        fs::remove_dir_all(self.path("etcd"))?;
        copy(Path::new(&self.path("etcd-backup")), Path::new(&self.path("etcd")))?;
        self.start_etcd().await?;
        self.start_api_server().await
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}
