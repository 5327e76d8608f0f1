//! Backs up and restores etcd's data, as an administrator restores a hub.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{ControlPlane, StartError};

/// Time for the kernel to stop all threads of etcd.
const TO_STOP: Duration = Duration::from_millis(200);

impl ControlPlane {
    /// Copies etcd's data while etcd is suspended, so the copy equals the state after a power cut.
    ///
    /// # Errors
    /// Fails if etcd is not running or the files can't be copied.
    pub async fn back_up(&self) -> io::Result<()> {
        let etcd = self.etcd.as_ref().ok_or_else(|| io::Error::other("etcd is not running"))?;
        etcd.signal(Signal::SIGSTOP)?;
        sleep(TO_STOP).await;
        let copied = copy(Path::new(&self.path("etcd")), Path::new(&self.path("etcd-backup")));
        etcd.signal(Signal::SIGCONT)?;
        copied
    }

    /// Kills API server and etcd, restores the copy, and starts both: the hub is back in its former state and counts
    /// resourceVersions from there.
    ///
    /// # Errors
    /// Fails without a copy, or if a process does not start.
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
