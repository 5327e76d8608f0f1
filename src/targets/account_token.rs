//! Asks a target for a new token of the ServiceAccount whose token the connection presents (TokenRequest).
//!
//! The only request to a target that is not a GET. It needs `create` of `serviceaccounts/token`, which the target grants
//! for that one account.

use std::time::Duration;

use hyper::body::Bytes;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::ask::Ask;
use super::cluster::Cluster;
use super::connection::Connection;
use super::http::Reply;
use super::standing::Standing;
use super::validity;
use crate::domain::credential::Validity;
use crate::domain::reason::{Failure, Reason};

/// Upper bound of a token in bytes. Those of Kubernetes have about 1,000.
const MAX_TOKEN: usize = 16 * 1024;

/// A token that the target has made.
pub struct NewToken {
    /// The token itself.
    pub token: SecretString,
    /// Its validity.
    pub validity: Validity,
}

/// Asks for a token that lasts `ttl`; the target may grant another lifetime.
///
/// # Errors
/// The cause and the remedy: the present token is none of a ServiceAccount, or the target does not make another.
pub async fn new_token(cluster: &Cluster, ttl: Duration) -> Result<NewToken, Failure> {
    let connection = cluster.connection();
    let subject = connection.subject();
    let account = subject.as_ref().and_then(|subject| subject.service_account());
    let (namespace, name) = account.ok_or_else(|| {
        failed(
            "the kubeconfig has no token of a ServiceAccount, or a client certificate beside it; run ksit target add",
        )
    })?;
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": { "expirationSeconds": ttl.as_secs() } });
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let ask = Ask { path: &path, accept: "application/json", body: Bytes::from(body.to_string()) };
    let limits = cluster.limits();
    let mut deadline = Instant::now() + limits.settings().round_timeout;
    let (channel, _) = cluster.channel(Standing::Healthy, &mut deadline).await.map_err(|fault| fault.failure)?;
    let host = connection.host_display();
    match channel.ask(ask, limits, deadline).await.map_err(|fault| fault.failure)? {
        Reply::Body(body) => accepted(&body, connection),
        Reply::Refused(_) => Err(failed(format!(
            "{host} does not allow ServiceAccount {namespace}/{name} to create tokens of itself; run ksit target add \
             --token-ttl again, which grants that, or apply deploy/target/token-renewal.yaml"
        ))),
    }
}

/// The token in the answer, which a hostile target may have made up: it goes into a Secret, and to that target only.
fn accepted(body: &[u8], connection: &Connection) -> Result<NewToken, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        token: String,
    }
    let odd = |what: &str| {
        let host = connection.host_display();
        Failure::new(Reason::InvalidAnswer, format!("{host} answered a TokenRequest with {what}"))
    };
    let answer: Answer = serde_json::from_slice(body).map_err(|_| odd("something else"))?;
    let token: SecretString = answer.status.token.into();
    let is_jwt = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if token.expose_secret().len() > MAX_TOKEN || !token.expose_secret().bytes().all(is_jwt) {
        return Err(odd("what is no token"));
    }
    if validity::subject(&token) != connection.subject() {
        return Err(odd("a token of another account"));
    }
    let validity = validity::of_token(&token).filter(|validity| validity.until > Timestamp::now());
    let validity = validity.ok_or_else(|| odd("a token that has ended; compare the clocks of both clusters"))?;
    Ok(NewToken { token, validity })
}

fn failed(why: impl Into<String>) -> Failure {
    Failure::new(Reason::RenewalFailed, why)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::targets::kubeconfig::{Policy, vet};

    fn token(claims: &serde_json::Value) -> String {
        format!("planted.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn claims(account: &str, end: i64) -> serde_json::Value {
        json!({ "iss": "i", "sub": format!("system:serviceaccount:ksit:{account}"), "iat": 0, "exp": end })
    }

    #[test]
    fn token_of_a_hostile_target_is_checked_and_not_shown() {
        let user = json!({ "token": token(&claims("ksit", 9)) });
        let file = json!({ "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
            "clusters": [{ "name": "c", "cluster": { "server": "https://192.0.2.1" } }],
            "users": [{ "name": "c", "user": user }] });
        let connection = vet(file.to_string().as_bytes(), &Policy::default()).unwrap();
        let far = Timestamp::now().as_second() + 600;
        let body = |token: &str| json!({ "status": { "token": token } }).to_string();
        let good = accepted(body(&token(&claims("ksit", far))).as_bytes(), &connection).unwrap();
        assert_eq!(good.validity.until.as_second(), far);
        for answer in [
            "planted".to_owned(),
            json!({ "status": {} }).to_string(),
            body(&token(&claims("admin", far))),
            body(&token(&claims("ksit", 9))),
            body(&format!("{}\n", token(&claims("ksit", far)))),
            body("planted"),
            body(&"a".repeat(MAX_TOKEN + 1)),
        ] {
            let failure = accepted(answer.as_bytes(), &connection).err().unwrap();
            assert!(!failure.message.contains("planted"), "{failure}");
        }
    }
}
