//! Identifies a user by a bearer token, and the namespaces whose clusters the user may list.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::{ExposeSecret, SecretString};

use super::token_review::explain;

/// Reviews of one user at a time.
const CONCURRENT: usize = 8;

/// A reason that a user is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserReviewError {
    /// The hub does not accept the token.
    #[error("the token is not accepted")]
    Refused,
    /// The hub did not answer, or this account may not ask.
    #[error("the hub can't review a token: {0}")]
    Unavailable(String),
}

impl UserReviewError {
    fn unavailable(error: &kube::Error) -> Self {
        Self::Unavailable(explain(error))
    }
}

/// Returns the owner of a token that the hub's API server accepts. Sends one request.
pub async fn review_user(client: &Client, token: &SecretString) -> Result<UserInfo, UserReviewError> {
    let spec = TokenReviewSpec { token: token.expose_secret().to_owned(), audiences: None };
    let review = TokenReview { spec, ..TokenReview::default() };
    let answer = Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await;
    let status = answer.map_err(|error| UserReviewError::unavailable(&error))?.status.unwrap_or_default();
    status.user.filter(|_| status.authenticated == Some(true)).ok_or(UserReviewError::Refused)
}

/// Returns those of `namespaces` in which the user may list IntegrationTargets; `None` if in all that there are. Sends
/// one request, or one for each namespace besides.
pub async fn allowed_namespaces(
    client: &Client,
    user: &UserInfo,
    namespaces: BTreeSet<String>,
) -> Result<Option<BTreeSet<String>>, UserReviewError> {
    if may_list(client, user, None).await? {
        return Ok(None);
    }
    let asked = stream::iter(namespaces.into_iter().map(async |namespace| {
        let is_allowed = may_list(client, user, Some(&namespace)).await?;
        Ok::<_, UserReviewError>(is_allowed.then_some(namespace))
    }));
    let allowed: Vec<Option<String>> = asked.buffer_unordered(CONCURRENT).try_collect().await?;
    Ok(Some(allowed.into_iter().flatten().collect()))
}

/// Whether the owner of the client's own credential may list the IntegrationTargets of all namespaces. Sends one request.
pub async fn may_list_all(client: &Client) -> kube::Result<bool> {
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(list_targets(None)),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The right to list IntegrationTargets in a namespace; in all if `None`.
fn list_targets(namespace: Option<&str>) -> ResourceAttributes {
    ResourceAttributes {
        group: Some("ksit.io".to_owned()),
        resource: Some("integrationtargets".to_owned()),
        verb: Some("list".to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    }
}

async fn may_list(client: &Client, user: &UserInfo, namespace: Option<&str>) -> Result<bool, UserReviewError> {
    let UserInfo { username, groups, uid, extra } = user.clone();
    let spec = SubjectAccessReviewSpec {
        user: username,
        groups,
        uid,
        extra,
        resource_attributes: Some(list_targets(namespace)),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await;
    let status = answer.map_err(|error| UserReviewError::unavailable(&error))?.status.unwrap_or_default();
    Ok(status.allowed)
}
