//! TLS towards targets: the CA of the kubeconfig and nothing else is trusted.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription as Alert, CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};

use crate::domain::reason::{Failure, Reason};

/// How the target proves who it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// One of these signed its certificate.
    Roots(Vec<CertificateDer<'static>>),
    /// It need not. Only ever from the user's own kubeconfig.
    Nobody,
}

/// A certificate chain and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What can't be made into a TLS configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    Ca,
    Identity,
}

/// Targets that trust the same CA and show a token have one configuration together.
static SHARED: LazyLock<Mutex<HashMap<Trust, Weak<ClientConfig>>>> = LazyLock::new(Mutex::default);

/// AES-128 comes first, as with Go's clients: where the server leaves the choice to the client, thousands of handshakes
/// take less with SHA-256 than with the SHA-384 of AES-256.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
});

pub(super) fn client_config(trust: &Trust, identity: Option<Identity>) -> Result<Arc<ClientConfig>, Unusable> {
    if identity.is_some() {
        return new_config(trust, identity);
    }
    let known = || SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = known().get(trust).and_then(Weak::upgrade) {
        return Ok(config);
    }
    let config = new_config(trust, None)?;
    let mut known = known();
    if known.len() == known.capacity() {
        known.retain(|_, config| config.strong_count() > 0);
        // As much room again, so that sweeping stays rare.
        let kept = known.len();
        known.reserve(kept + 1);
    }
    known.insert(trust.clone(), Arc::downgrade(&config));
    Ok(config)
}

fn new_config(trust: &Trust, identity: Option<Identity>) -> Result<Arc<ClientConfig>, Unusable> {
    let provider = PROVIDER.clone();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| Unusable::Ca)?;
    let builder = match trust {
        Trust::Roots(roots) => builder.with_webpki_verifier(verifier(roots, provider)?),
        Trust::Nobody => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider))),
    };
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|_| Unusable::Identity)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // One long connection a target: tickets would only take memory.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn verifier(
    roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Unusable> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|_| Unusable::Ca)?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build().map_err(|_| Unusable::Ca)
}

/// What a failed handshake means. `host` is what was dialled; nothing of the peer's bytes gets into the message.
pub(super) fn handshake_failure(host: &str, error: &std::io::Error) -> Failure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(error) => tls_failure(host, error),
        None => Failure::new(
            Reason::TlsFailed,
            format!(
                "{host} ended the connection during the TLS handshake; check that a Kubernetes API server listens there"
            ),
        ),
    }
}

const SPOKEN: &str = "that is 1.3, or 1.2 with ECDHE and AES-GCM or ChaCha20";

pub(super) fn tls_failure(host: &str, error: &rustls::Error) -> Failure {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                Failure::new(
                    Reason::CertificateExpired,
                    format!(
                        "the certificate of {host} has expired or is not valid yet; renew it, or set the clocks right"
                    ),
                )
            }
            Bad::NotValidForNameContext { presented, .. } if presented.is_empty() => Failure::new(
                Reason::CertificateNameMismatch,
                format!(
                    "the certificate of {host} has no subjectAltName; make one with the name or address that the kubeconfig has"
                ),
            ),
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Failure::new(
                Reason::CertificateNameMismatch,
                format!(
                    "the certificate of {host} is for another name; use a name or address that stands in it, or set tls-server-name in the kubeconfig"
                ),
            ),
            Bad::UnknownIssuer | Bad::BadSignature => Failure::new(
                Reason::CertificateUnknown,
                format!(
                    "the certificate of {host} is not signed by the CA in the kubeconfig; put the cluster's present CA into certificate-authority-data"
                ),
            ),
            _ => Failure::new(
                Reason::CertificateUnknown,
                format!(
                    "the certificate of {host} can't be verified with the CA in the kubeconfig; check that it is a server certificate with a subjectAltName, signed by that CA"
                ),
            ),
        },
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity,
        ) => Failure::new(Reason::TlsFailed, format!("{host} offers no TLS that ksit speaks; {SPOKEN}")),
        rustls::Error::AlertReceived(_) => Failure::new(
            Reason::TlsFailed,
            format!(
                "{host} broke off the TLS handshake; if the kubeconfig has a client certificate, check that it is still accepted"
            ),
        ),
        _ => Failure::new(
            Reason::TlsFailed,
            format!(
                "no TLS handshake with {host}; check that a Kubernetes API server with TLS 1.2 or 1.3 listens there"
            ),
        ),
    }
}

/// The `insecure-skip-tls-verify` of a user's own kubeconfig.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: &rustls::Error) -> String {
        tls_failure("c1:6443", error).to_string()
    }

    #[test]
    fn certificate_without_a_name_is_told_from_one_of_another_name() {
        let said = |names: Vec<String>| {
            let key = rcgen::KeyPair::generate().unwrap();
            let shown = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
            let verifier = verifier(&[shown.der().clone()], PROVIDER.clone()).unwrap();
            let name = ServerName::try_from("c1").unwrap();
            let refused = verifier.verify_server_cert(shown.der(), &[], &name, &[], UnixTime::now());
            failure(&refused.unwrap_err())
        };
        assert!(said(Vec::new()).contains("has no subjectAltName"), "{}", said(Vec::new()));
        let other = said(vec!["c2".to_owned()]);
        assert!(other.contains("is for another name"), "{other}");
    }

    #[test]
    fn tls_that_ksit_does_not_speak_blames_no_client_certificate() {
        for alert in [Alert::HandshakeFailure, Alert::ProtocolVersion] {
            let said = failure(&rustls::Error::AlertReceived(alert));
            assert!(said.contains("1.2 with ECDHE") && !said.contains("client certificate"), "{said}");
        }
        let said = failure(&rustls::Error::AlertReceived(Alert::CertificateExpired));
        assert!(said.contains("client certificate"), "{said}");
    }
}
