//! Configures and starts a control plane.

use std::path::Path;

use super::{ControlPlane, StartError, free_ports};
use crate::pki::Pki;
use crate::process::Process;

/// Configures a control plane.
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    workloads: bool,
    reads_in_audit: bool,
}

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), workloads: false, reads_in_audit: true }
    }

    /// Adds kube-controller-manager, kube-scheduler, and kwok with one Node: Pods become ready.
    pub fn with_workloads(mut self) -> Self {
        self.workloads = true;
        self
    }

    /// Logs writes only: auditing thousands of reads would take CPU time from the measured processes.
    pub fn without_reads_in_audit(mut self) -> Self {
        self.reads_in_audit = false;
        self
    }

    /// Starts the processes, and waits until the API server and, with workloads, the Node are ready.
    ///
    /// # Errors
    /// Fails if a program can't be built or started, ends, or is not ready within two minutes.
    pub async fn start(self) -> Result<ControlPlane, StartError> {
        let dir = tempfile::Builder::new().prefix("ksit-plane-").tempdir()?;
        let pki = Pki::new(&format!("{}-ca", self.name))?;
        let admin = pki.client("admin", Some("system:masters"))?;
        let [etcd_port, peer_port, port] = free_ports()?;
        let (log, sleep) = (dir.path().join("caretaker.log"), ["infinity".to_owned()]);
        let caretaker = Process::start("caretaker", Path::new("sleep"), &sleep, &[], &log, Some(dir.path()))?;
        let mut plane = ControlPlane {
            name: self.name,
            dir,
            pki,
            admin,
            etcd_port,
            peer_port,
            port,
            etcd: None,
            api_server: None,
            companions: Vec::new(),
            _caretaker: caretaker,
        };
        plane.write_files(self.reads_in_audit)?;
        plane.start_etcd().await?;
        plane.start_api_server().await?;
        if self.workloads {
            plane.start_companions().await?;
        }
        Ok(plane)
    }
}
