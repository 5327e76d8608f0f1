//! Reads the stated validity of a credential. Nothing is verified, which is up to the cluster.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::domain::credential::Validity;
use crate::domain::object_names::is_object_name;

/// The claims of a JWT, as ServiceAccount tokens are.
#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    iat: Option<i64>,
    exp: Option<i64>,
}

/// The account that a token states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    issuer: String,
    name: String,
}

impl Subject {
    /// Namespace and name, if it is a ServiceAccount.
    pub(super) fn service_account(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        (is_object_name(namespace) && is_object_name(name)).then_some((namespace, name))
    }
}

fn claims(token: &SecretString) -> Option<Claims> {
    let payload = token.expose_secret().trim().split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Validity of a token, if it is a JWT with `exp`.
pub(super) fn of_token(token: &SecretString) -> Option<Validity> {
    let claims = claims(token)?;
    validity(claims.iat, claims.exp?)
}

/// The account of a token, if it is a JWT.
pub(super) fn subject(token: &SecretString) -> Option<Subject> {
    let claims = claims(token)?;
    Some(Subject { issuer: claims.iss?, name: claims.sub? })
}

/// Validity of the client's own certificate, the first of its chain.
pub(super) fn of_chain(chain: &[CertificateDer<'_>]) -> Option<Validity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    let stated = certificate.validity();
    validity(Some(stated.not_before.timestamp()), stated.not_after.timestamp())
}

fn validity(from: Option<i64>, until: i64) -> Option<Validity> {
    let from = from.and_then(|from| Timestamp::from_second(from).ok());
    Some(Validity { from, until: Timestamp::from_second(until).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> SecretString {
        format!("head.{}.signature", URL_SAFE_NO_PAD.encode(payload)).into()
    }

    #[test]
    fn token_validity_is_read_from_its_claims() {
        let found = of_token(&token(r#"{"iss":"x","iat":100,"exp":4600}"#)).unwrap();
        assert_eq!((found.from.map(Timestamp::as_second), found.until.as_second()), (Some(100), 4600));
    }

    #[test]
    fn credential_without_expiry_has_no_validity() {
        for payload in [r#"{"iat":100}"#, r#"{"exp":"soon"}"#, r#"{"exp":9223372036854775807}"#, "no JSON", ""] {
            assert_eq!(of_token(&token(payload)), None, "{payload}");
        }
        for other in ["", ".", "..", "opaque-token", "a.b", "a.%%%.c"] {
            assert_eq!(of_token(&other.into()), None, "{other}");
        }
        assert_eq!(of_chain(&[]), None);
        assert_eq!(of_chain(&[CertificateDer::from(vec![0x30, 0x82, 0xff])]), None);
    }

    #[test]
    fn certificate_validity_is_read() {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let found = of_chain(&[certificate.der().clone()]).unwrap();
        assert_eq!(found.until.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(found.from.map(|from| from.to_string()).as_deref(), Some("2025-01-01T00:00:00Z"));
    }
}
