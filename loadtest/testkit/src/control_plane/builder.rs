//! Configures and starts a control plane.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{ControlPlane, StartError};
use crate::pki::Pki;
use crate::port::Port;
use crate::process::Process;

/// Configures a control plane.
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    workloads: bool,
    reads_in_audit: bool,
    /// URL and CA of another plane.
    issuer: Option<(String, String)>,
}

/// File of a plane that trusts another as an issuer of tokens.
pub(super) const AUTHENTICATION: &str = "authentication.json";

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), workloads: false, reads_in_audit: true, issuer: None }
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

    /// Trusts the ServiceAccount tokens that `hub` issues for the audience of this plane's [`url`](ControlPlane::url).
    /// Their users have the prefix `hub:`.
    pub fn trusting(mut self, hub: &ControlPlane) -> Self {
        self.issuer = Some((hub.url(), hub.ca_pem().to_owned()));
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
        let (log, sleep) = (dir.path().join("caretaker.log"), ["infinity".to_owned()]);
        let caretaker = Process::start("caretaker", Path::new("sleep"), &sleep, &[], &log, Some(dir.path()))?;
        let mut plane = ControlPlane {
            name: self.name,
            dir,
            pki,
            admin,
            etcd_port: Port::reserve()?,
            peer_port: Port::reserve()?,
            port: Port::reserve()?,
            etcd: None,
            api_server: None,
            companions: Vec::new(),
            _caretaker: caretaker,
        };
        plane.write_files(self.reads_in_audit)?;
        if let Some((url, ca)) = &self.issuer {
            let config = authentication(url, ca, &plane.url());
            fs::write(plane.dir.path().join(AUTHENTICATION), config.to_string())?;
        }
        plane.start_etcd().await?;
        plane.start_api_server().await?;
        if self.workloads {
            plane.start_companions().await?;
        }
        Ok(plane)
    }
}

/// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration>
fn authentication(issuer: &str, ca: &str, audience: &str) -> serde_json::Value {
    json!({ "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [{
        "issuer": { "url": super::ISSUER, "discoveryURL": format!("{issuer}/.well-known/openid-configuration"),
            "certificateAuthority": ca, "audiences": [audience] },
        "claimMappings": { "username": { "claim": "sub", "prefix": "hub:" } },
    }] })
}
