//! Microsoft Entra tokens for AKS, by the workload identity of the Pod.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential>

use std::time::Duration;

use secrecy::ExposeSecret;
use serde::Deserialize;

use super::client::form;
use super::{Clouds, MadeToken, unavailable};
use crate::domain::reason::Failure;

const SERVICE: &str = "Microsoft Entra";

/// All API servers of AKS with Entra authentication are this application.
/// <https://azure.github.io/kubelogin/concepts/aks.html>
const SCOPE: &str = "6dae42f8-4368-4678-94ff-3960e28e3630/.default";

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

pub(super) async fn token(clouds: &Clouds, tenant: Option<&str>, client: Option<&str>) -> Result<MadeToken, Failure> {
    let or_variable = |given: Option<&str>, name: &str, field: &str| {
        given.map(str::to_owned).or_else(|| clouds.variable(name)).ok_or_else(|| {
            unavailable(format!(
                "{name} is not set, and neither is {field} in spec.access.aks; label ksit's Pods with \
                 azure.workload.identity/use: \"true\""
            ))
        })
    };
    let tenant = or_variable(tenant, "AZURE_TENANT_ID", "tenantID")?;
    let client = or_variable(client, "AZURE_CLIENT_ID", "clientID")?;
    let authority = clouds.variable("AZURE_AUTHORITY_HOST");
    let authority = authority.unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
    // Kubernetes replaces the file every hour.
    let assertion = clouds.file("AZURE_FEDERATED_TOKEN_FILE").await?;
    let request = form(
        &format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/')),
        &[
            ("grant_type", "client_credentials"),
            ("client_id", &client),
            ("scope", SCOPE),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.expose_secret()),
        ],
    )?;
    let remedy = "check tenant and client, and that the identity has a federated credential for ksit's ServiceAccount";
    let answer = clouds.http.send(request, SERVICE, remedy).await?;
    let read: Result<Answer, _> = serde_json::from_slice(&answer.body);
    let Answer { access_token, expires_in } = read.map_err(|_| unavailable(format!("{SERVICE} gave no token")))?;
    Ok(MadeToken { token: access_token.into(), lifetime: Duration::from_secs(expires_in) })
}
