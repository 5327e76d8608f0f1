//! Admits callers of the report service: processes of replicas, by the token of their Pod and by their Lease.

use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use secrecy::SecretString;
use tokio::sync::{OnceCell, watch};

use crate::domain::replica::{Incarnation, PodIdentity};
use crate::hub::{Bearer, LeaseBoard, ReviewError, StoredMap, review_token};
use crate::reports::{AUDIENCE, AuthError, Authenticator, IsMember, read_token};

/// Believes tokens of the ServiceAccount that this replica itself runs as, and of no other of the namespace. Its name is
/// what the hub says of this replica's own token, so that no flag can name a wrong one.
pub(super) fn authenticator(hub: Client, token_file: Option<PathBuf>) -> Authenticator {
    let own = Arc::new(OnceCell::new());
    Authenticator::new(move |token| {
        let (hub, token_file, own) = (hub.clone(), token_file.clone(), own.clone());
        Box::pin(async move {
            let account = own.get_or_try_init(|| own_account(&hub, token_file)).await?;
            pod_of(account, review(&hub, &token).await?)
        })
    })
}

fn pod_of(account: &str, bearer: Bearer) -> Result<PodIdentity, AuthError> {
    match bearer.account == account {
        true => Ok(bearer.pod),
        false => {
            Err(AuthError::Refused(format!("the token is not accepted: of another ServiceAccount than {account}")))
        }
    }
}

async fn own_account(hub: &Client, token_file: Option<PathBuf>) -> Result<String, AuthError> {
    let token = read_token(token_file.as_deref()).await;
    let token = token.map_err(|error| AuthError::Unavailable(error.to_string()))?;
    match review(hub, &token).await {
        Ok(bearer) => Ok(bearer.account),
        Err(error) => Err(AuthError::Unavailable(format!("the coordinator's own token: {error}"))),
    }
}

async fn review(hub: &Client, token: &SecretString) -> Result<Bearer, AuthError> {
    review_token(hub, AUDIENCE, token).await.map_err(|error| match error {
        ReviewError::Refused(_) => AuthError::Refused(error.to_string()),
        ReviewError::Unavailable(_) => AuthError::Unavailable(error.to_string()),
    })
}

/// Members of the map as the hub shows it, and whoever holds a member's Lease: a replica that has just started.
pub(super) fn members(
    me: Incarnation,
    installation: String,
    board: Arc<LeaseBoard>,
    map: watch::Receiver<Option<StoredMap>>,
) -> IsMember {
    Arc::new(move |process| {
        let is_in_map = |stored: &StoredMap| stored.published.map.members.get(&process.name) == Some(process);
        *process == me || board.is_held_by(&installation, process) || map.borrow().as_ref().is_some_and(is_in_map)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_another_service_account_are_refused() {
        let bearer = |account: &str| Bearer {
            account: format!("system:serviceaccount:{account}"),
            pod: PodIdentity { name: "ksit-0".to_owned(), uid: "uid".to_owned() },
        };
        let ours = bearer("ksit-system:ksit").account;
        assert!(pod_of(&ours, bearer("ksit-system:ksit")).is_ok());
        for other in ["ksit-system:other", "ksit-system:ksit2", "ksit-system:ksi", "other:ksit"] {
            assert!(matches!(pod_of(&ours, bearer(other)), Err(AuthError::Refused(_))), "{other}");
        }
    }
}
