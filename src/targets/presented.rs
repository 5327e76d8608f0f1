//! The credential that a connection presents. Its token may be replaced while the connection stays open.

use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use hyper::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::connection::{Credential, bearer};
use super::validity::{self, Subject};
use crate::domain::credential::Validity;
use crate::domain::reason::Failure;

/// A credential, and the validity that it states.
pub(super) struct Presented(RwLock<(Credential, Option<Validity>)>);

impl Presented {
    pub(super) fn new(credential: Credential, validity: Option<Validity>) -> Self {
        Self(RwLock::new((credential, validity)))
    }

    fn read(&self) -> RwLockReadGuard<'_, (Credential, Option<Validity>)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn validity(&self) -> Option<Validity> {
        self.read().1
    }

    /// The account that the token states, if the credential is a token alone.
    pub(super) fn subject(&self) -> Option<Subject> {
        match &self.read().0 {
            Credential { token: Some(token), live_token: None, certificate: None } => validity::subject(token),
            _ => None,
        }
    }

    /// The `Authorization` header, for tokens; a failure if there is no token to send.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        match &self.read().0 {
            Credential { live_token: Some(token), .. } => token.authorization().map(Some),
            Credential { token: Some(token), .. } => bearer(token).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes over the token of `next`, if both are tokens of one account: what the cluster has sent so far was for the
    /// same user. Returns whether it did.
    pub(super) fn adopt(&self, next: &Self) -> bool {
        if self.subject().is_none() || self.subject() != next.subject() {
            return false;
        }
        let next = next.read().clone();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
        true
    }
}

impl PartialEq for Presented {
    fn eq(&self, other: &Self) -> bool {
        self.read().0 == other.read().0
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().0.fmt(f)
    }
}

impl From<SecretString> for Credential {
    fn from(token: SecretString) -> Self {
        Self { token: Some(token), ..Self::default() }
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        fn exposed(credential: &Credential) -> (Option<&str>, Option<(&[u8], &str)>) {
            let certificate = credential.certificate.as_ref();
            (
                credential.token.as_ref().map(ExposeSecret::expose_secret),
                certificate.map(|both| (both.chain.as_slice(), both.key.expose_secret())),
            )
        }
        let is_same_live = match (&self.live_token, &other.live_token) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => true,
            _ => false,
        };
        is_same_live && exposed(self) == exposed(other)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.token, &self.certificate) {
            _ if self.live_token.is_some() => "a renewed token",
            (Some(_), Some(_)) => "a token and a client certificate",
            (Some(_), None) => "a token",
            (None, Some(_)) => "a client certificate",
            (None, None) => "no credential",
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(account: &str, end: i64) -> Presented {
        let claims = format!(r#"{{"iss":"i","sub":"system:serviceaccount:ksit:{account}","iat":0,"exp":{end}}}"#);
        let token: SecretString = format!("planted.{}.s", URL_SAFE_NO_PAD.encode(claims)).into();
        let validity = validity::of_token(&token);
        Presented::new(token.into(), validity)
    }

    #[test]
    fn token_of_the_same_account_replaces_the_present_one() {
        let (present, next) = (token("ksit", 100), token("ksit", 200));
        let header = |presented: &Presented| presented.authorization().unwrap().unwrap();
        assert!(present.adopt(&next));
        assert_eq!((header(&present), present.validity()), (header(&next), next.validity()));
        assert!(present == next && !format!("{present:?}").contains("planted"));
        let opaque = Presented::new(SecretString::from("opaque").into(), None);
        for other in [token("other", 300), opaque, Presented::new(Credential::default(), None)] {
            assert!(!present.adopt(&other) && !other.adopt(&present), "{other:?}");
        }
        assert_eq!(header(&present), header(&next));
    }
}
