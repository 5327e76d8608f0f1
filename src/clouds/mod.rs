//! Makes tokens for the managed Kubernetes of the large clouds, from the identity that the cloud gives to ksit's Pod.
//!
//! ```text
//! Pod's identity (file, metadata service) ─> token service of the cloud ─> token for the API servers of its clusters
//! ```
//!
//! Every variable of the environment that is read here is the cloud's own, so a Pod that works with the cloud's SDK
//! works with ksit. Messages name the service, the status code and the remedy, and never quote an answer.

mod aws;
mod azure;
mod client;
mod google;

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::access::Identity;
use crate::domain::reason::{Failure, Reason};
use client::HttpClient;

/// A token, and the time for which it works from now on.
#[derive(Debug)]
pub struct MadeToken {
    /// Presented to the API server.
    pub token: SecretString,
    /// Counted from its making.
    pub lifetime: Duration,
}

/// The clouds, as the environment of this process describes them.
pub struct Clouds {
    http: HttpClient,
    environment: Environment,
}

/// A lookup of environment variables.
type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Clouds {
    /// With the environment of this process. Does nothing yet.
    pub fn from_env() -> Self {
        Self::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn new(environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { http: HttpClient::default(), environment: Box::new(environment) }
    }

    /// A token for the cluster of `identity`.
    ///
    /// # Errors
    /// The Pod has no identity of that cloud, or its token service refuses, fails or does not answer. `Identity::Oidc`
    /// is not a cloud's.
    pub async fn token(&self, identity: &Identity) -> Result<MadeToken, Failure> {
        match identity {
            Identity::Eks { cluster, region, role_arn } => aws::token(self, cluster, region, role_arn.as_deref()).await,
            Identity::Gke => google::token(self).await,
            Identity::Aks { tenant, client } => azure::token(self, tenant.as_deref(), client.as_deref()).await,
            Identity::Oidc { .. } => Err(unavailable("oidc tokens are made by the hub, not by a cloud")),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// The content of the file that a variable names.
    async fn file(&self, variable: &str) -> Result<SecretString, Failure> {
        let path = self.variable(variable).ok_or_else(|| unavailable(format!("{variable} is not set")))?;
        let read = tokio::fs::read_to_string(Path::new(&path)).await;
        let text = read.map_err(|error| unavailable(format!("{variable}: {path}: {error}")))?;
        Ok(text.trim().into())
    }
}

fn unavailable(message: impl Into<String>) -> Failure {
    Failure::new(Reason::TokenUnavailable, message)
}

#[cfg(test)]
mod tests;
