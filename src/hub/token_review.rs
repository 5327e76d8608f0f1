//! Identifies the Pod of a caller by its token, with the hub's TokenReview API.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::replica::PodIdentity;

/// Owner of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Such as `system:serviceaccount:ksit-system:ksit`.
    pub account: String,
    pub pod: PodIdentity,
}

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    #[error("the token is not accepted: {0}")]
    Refused(&'static str),
    #[error("the hub can't review a token: {0}")]
    Unavailable(String),
}

/// Returns the ServiceAccount and Pod that `token` was issued to for `audience`. Sends one request.
pub async fn review_token(client: &Client, audience: &str, token: &SecretString) -> Result<Bearer, ReviewError> {
    let spec = TokenReviewSpec { token: token.expose_secret().to_owned(), audiences: Some(vec![audience.to_owned()]) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let answer = Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await;
    let status = answer.map_err(|error| ReviewError::Unavailable(explain(&error)))?.status.unwrap_or_default();
    judge(status, audience)
}

fn judge(status: TokenReviewStatus, audience: &str) -> Result<Bearer, ReviewError> {
    if status.authenticated != Some(true) {
        return Err(ReviewError::Refused("unknown, expired, or bound to a deleted Pod"));
    }
    if !status.audiences.iter().flatten().any(|issued| issued == audience) {
        return Err(ReviewError::Refused("issued for another audience"));
    }
    let user = status.user.unwrap_or_default();
    let account = user.username.filter(|name| name.starts_with(SERVICE_ACCOUNT));
    let account = account.ok_or(ReviewError::Refused("issued to a user, not to a ServiceAccount"))?;
    let extra = user.extra.unwrap_or_default();
    let one = |key: &str| extra.get(key).and_then(|values| values.first()).filter(|value| !value.is_empty()).cloned();
    match (one(POD_NAME), one(POD_UID)) {
        (Some(name), Some(uid)) => Ok(Bearer { account, pod: PodIdentity { name, uid } }),
        _ => Err(ReviewError::Refused("not bound to a Pod")),
    }
}

/// Describes the error without the request body, which holds the token.
pub(super) fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.reason),
        _ => "no answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;

    fn status(audience: &str, user: &str, pod: &[(&str, &str)]) -> TokenReviewStatus {
        let extra = pod.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect();
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec![audience.to_owned()]),
            user: Some(UserInfo { username: Some(user.to_owned()), extra: Some(extra), ..UserInfo::default() }),
            ..TokenReviewStatus::default()
        }
    }

    #[test]
    fn token_must_be_bound_to_a_pod_and_audience() {
        let pod = [(POD_NAME, "ksit-0"), (POD_UID, "u")];
        let ours = "system:serviceaccount:ksit:ksit";
        let judge = |status| judge(status, "reports");
        let pod_identity = PodIdentity { name: "ksit-0".to_owned(), uid: "u".to_owned() };
        assert_eq!(judge(status("reports", ours, &pod)), Ok(Bearer { account: ours.to_owned(), pod: pod_identity }));
        let refused = [
            TokenReviewStatus::default(),
            TokenReviewStatus { authenticated: Some(false), ..status("reports", ours, &pod) },
            TokenReviewStatus { audiences: None, ..status("reports", ours, &pod) },
            status("other", ours, &pod),
            status("reports", "admin", &pod),
            status("reports", ours, &pod[..1]),
            status("reports", ours, &[]),
        ];
        for status in refused {
            assert!(matches!(judge(status.clone()), Err(ReviewError::Refused(_))), "{status:?}");
        }
    }
}
