//! A bearer token that is replaced while its connection stays open.

use std::sync::{Arc, PoisonError, RwLock};

use hyper::header::HeaderValue;
use secrecy::SecretString;

use super::connection::bearer;
use crate::domain::reason::Failure;

/// The present token, or why there is none. Clones share it.
#[derive(Clone)]
pub struct LiveToken(Arc<RwLock<Result<HeaderValue, Failure>>>);

impl LiveToken {
    /// Starts with the first token.
    ///
    /// # Errors
    /// The token holds characters that can't be sent in a header.
    pub fn new(token: &SecretString) -> Result<Self, Failure> {
        Ok(Self(Arc::new(RwLock::new(Ok(bearer(token)?)))))
    }

    /// Uses another token from the next request on.
    ///
    /// # Errors
    /// The token holds characters that can't be sent in a header; the former stays.
    pub fn replace(&self, token: &SecretString) -> Result<(), Failure> {
        let header = bearer(token)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Ok(header);
        Ok(())
    }

    /// The token has ended, and no other could be made.
    pub fn fail(&self, failure: Failure) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Err(failure);
    }

    /// The `Authorization` header, or why there is no token.
    #[cfg(test)]
    pub(crate) fn header(&self) -> Result<HeaderValue, Failure> {
        self.authorization()
    }

    /// The `Authorization` header.
    pub(super) fn authorization(&self) -> Result<HeaderValue, Failure> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether both are replaced together.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for LiveToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a renewed token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reason::Reason;

    #[test]
    fn token_is_replaced_for_all_holders_and_never_shown() {
        let token = LiveToken::new(&"planted-1".into()).unwrap();
        let held = token.clone();
        token.replace(&"planted-2".into()).unwrap();
        assert_eq!(held.authorization().unwrap(), "Bearer planted-2");
        assert!(token.replace(&"a\nb".into()).is_err());
        assert_eq!(held.authorization().unwrap(), "Bearer planted-2");
        assert!(!format!("{held:?}").contains("planted"));
        token.fail(Failure::new(Reason::TokenUnavailable, "no token"));
        assert_eq!(held.authorization().unwrap_err().message, "no token");
    }
}
