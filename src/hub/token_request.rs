//! Requests tokens of this process's own ServiceAccount from the hub (TokenRequest).

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::SecretString;

use super::cause::cause;

/// A token of the operator's own account, for another audience than the hub.
pub(crate) struct OwnToken {
    pub(crate) token: SecretString,
    /// Counted from its making.
    pub(crate) lifetime: Duration,
}

/// Requests a token for `audience`. The hub may grant another lifetime than the wanted one.
///
/// # Errors
/// A sentence for users with the remedy: this process has no ServiceAccount, may not create its tokens, or the hub does
/// not answer.
pub(crate) async fn request_token(client: &Client, audience: &str, lifetime: Duration) -> Result<OwnToken, String> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let review = review.map_err(|error| format!("the hub {}", cause(&error)))?;
    let user = review.status.and_then(|status| status.user_info?.username).unwrap_or_default();
    let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    let Some((namespace, name)) = account else {
        return Err(
            "ksit does not run with a ServiceAccount of the hub, of which spec.access.oidc needs a token".into()
        );
    };
    let spec = TokenRequestSpec {
        audiences: Some(vec![audience.to_owned()]),
        expiration_seconds: i64::try_from(lifetime.as_secs()).ok(),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let made = accounts.create_token_request(name, &PostParams::default(), &request).await;
    let made = made.map_err(|error| match &error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "ksit may not create tokens of its ServiceAccount {namespace}/{name}: set access.namespaces in the values \
             of its chart, or allow it to create serviceaccounts/token of that name"
        ),
        error => format!("the hub {}", cause(error)),
    })?;
    let lifetime = made.spec.and_then(|spec| spec.expiration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
    let token = made.status.and_then(|status| status.token).filter(|token| !token.is_empty());
    match (token, lifetime) {
        (Some(token), Some(lifetime)) => Ok(OwnToken { token: token.into(), lifetime: Duration::from_secs(lifetime) }),
        _ => Err("the hub gave no token of ksit's ServiceAccount".into()),
    }
}
