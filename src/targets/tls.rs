//! TLS to targets, which trusts the CA of the kubeconfig and nothing else.

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

/// How the target's certificate is verified.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// Signed by one of these.
    Roots(Vec<CertificateDer<'static>>),
    /// Not verified. Only for the user's own kubeconfig.
    Nobody,
}

/// A certificate chain and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The part that a TLS configuration can't be built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    Ca,
    Identity,
}

/// Configurations shared by targets with the same CA and a token.
static SHARED: LazyLock<Mutex<HashMap<Trust, Weak<ClientConfig>>>> = LazyLock::new(Mutex::default);

/// Prefers AES-128, as Go's clients do: if the server follows the client's preference, thousands of handshakes cost
/// less with SHA-256 than with the SHA-384 of AES-256.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
});

pub(super) fn client_config(trust: &Trust, identity: Option<Identity>) -> Result<Arc<ClientConfig>, Unusable> {
    if identity.is_some() {
        return new_config(trust, identity);
    }
    let shared = || SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = shared().get(trust).and_then(Weak::upgrade) {
        return Ok(config);
    }
    let config = new_config(trust, None)?;
    let mut shared = shared();
    if shared.len() == shared.capacity() {
        shared.retain(|_, config| config.strong_count() > 0);
        // Twice the room, so that sweeps stay rare.
        let kept = shared.len();
        shared.reserve(kept + 1);
    }
    shared.insert(trust.clone(), Arc::downgrade(&config));
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
    // One long-lived connection per target: session tickets would only use memory.
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

/// Classifies a failed handshake. `host` is the dialled address; the message never quotes the peer.
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

const SUPPORTED: &str = "it needs 1.3, or 1.2 with ECDHE and AES-GCM or ChaCha20";

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
        ) => Failure::new(
            Reason::TlsFailed,
            format!("{host} offers no TLS version and cipher suite that ksit supports; {SUPPORTED}"),
        ),
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
    fn certificate_without_san_differs_from_a_name_mismatch() {
        let message = |names: Vec<String>| {
            let key = rcgen::KeyPair::generate().unwrap();
            let shown = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
            let verifier = verifier(&[shown.der().clone()], PROVIDER.clone()).unwrap();
            let name = ServerName::try_from("c1").unwrap();
            let refused = verifier.verify_server_cert(shown.der(), &[], &name, &[], UnixTime::now());
            failure(&refused.unwrap_err())
        };
        assert!(message(Vec::new()).contains("has no subjectAltName"), "{}", message(Vec::new()));
        let other = message(vec!["c2".to_owned()]);
        assert!(other.contains("is for another name"), "{other}");
    }

    #[test]
    fn unsupported_tls_does_not_blame_the_client_certificate() {
        for alert in [Alert::HandshakeFailure, Alert::ProtocolVersion] {
            let message = failure(&rustls::Error::AlertReceived(alert));
            assert!(message.contains("1.2 with ECDHE") && !message.contains("client certificate"), "{message}");
        }
        let message = failure(&rustls::Error::AlertReceived(Alert::CertificateExpired));
        assert!(message.contains("client certificate"), "{message}");
    }
}
