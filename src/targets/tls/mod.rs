//! TLS to targets: which certificates of servers are trusted, and the client's own.
//!
//! ring is the provider. `p521` adds the curve that it lacks, and `identity` the forms of keys and certificates that
//! rustls does not take and kubectl does.

mod failure;
mod identity;
mod p521;
mod verifier;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ClientConfig, RootCertStore, SignatureScheme};

use super::connection::invalid;
use super::pem;
use crate::domain::reason::Failure;
pub(super) use failure::{handshake_failure, tls_failure};
pub(super) use identity::identity;

/// The server certificates that are trusted. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// Those signed by one of these, and these themselves: the CA of the kubeconfig.
    Roots(Arc<[CertificateDer<'static>]>),
    /// The same for the CAs of this machine's system. Only for the user's own kubeconfig.
    System(Arc<[CertificateDer<'static>]>),
    /// Those signed by a CA that browsers trust.
    Public,
    /// Any. Only for the user's own kubeconfig.
    Anyone,
}

/// Configurations shared by targets with the same CA and without a client certificate.
static SHARED: LazyLock<Mutex<HashMap<Trust, Weak<ClientConfig>>>> = LazyLock::new(Mutex::default);

/// Prefers AES-128, as Go's clients do: if the server follows the client's preference, thousands of handshakes cost
/// less with SHA-256 than with the SHA-384 of AES-256.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.signature_verification_algorithms = with_p521(provider.signature_verification_algorithms);
    Arc::new(provider)
});

/// The algorithms of ring with those of P-521. Called once: rustls takes what lives as long as the process.
fn with_p521(ring: WebPkiSupportedAlgorithms) -> WebPkiSupportedAlgorithms {
    let joined = |own: &[&'static dyn SignatureVerificationAlgorithm], more: &[_]| -> &'static [_] {
        Vec::leak([own, more].concat())
    };
    // With TLS 1.2 a scheme does not fix the curve.
    let with_any_curve = |&(scheme, algorithms)| match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => (scheme, joined(algorithms, &[p521::SHA256])),
        SignatureScheme::ECDSA_NISTP384_SHA384 => (scheme, joined(algorithms, &[p521::SHA384])),
        _ => (scheme, algorithms),
    };
    let mut mapping: Vec<_> = ring.mapping.iter().map(with_any_curve).collect();
    mapping.push((SignatureScheme::ECDSA_NISTP521_SHA512, joined(&[p521::SHA512], &[])));
    WebPkiSupportedAlgorithms {
        all: joined(ring.all, &[p521::SHA256, p521::SHA384, p521::SHA512]),
        mapping: mapping.leak(),
    }
}

impl Trust {
    /// The CA of a kubeconfig, and the positions (from 1) of certificates in it that can't be used.
    ///
    /// # Errors
    /// If none can be used; names `field`.
    pub(super) fn roots(bundle: &[u8], field: &str) -> Result<(Self, Vec<usize>), Failure> {
        let (mut roots, mut unusable) = (Vec::new(), Vec::new());
        for (index, certificate) in pem::certificates(bundle).into_iter().enumerate() {
            match certificate.filter(is_usable) {
                Some(certificate) => roots.push(certificate),
                None => unusable.push(index + 1),
            }
        }
        match (roots.is_empty(), unusable.is_empty()) {
            (true, true) => Err(invalid(field, &pem::none_found(bundle))),
            (true, false) => Err(none_usable(field)),
            _ => Ok((Self::Roots(roots.into()), unusable)),
        }
    }

    /// Those of these certificates that can be used.
    ///
    /// # Errors
    /// If none can be; names `field`.
    pub(super) fn roots_of(mut certificates: Vec<CertificateDer<'static>>, field: &str) -> Result<Self, Failure> {
        certificates.retain(is_usable);
        if certificates.is_empty() { Err(none_usable(field)) } else { Ok(Self::Roots(certificates.into())) }
    }
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

fn none_usable(field: &str) -> Failure {
    invalid(field, "holds no certificate that can be used as a CA")
}

/// The configuration for connections. `None` if no certificate of `trust` can be used as a CA.
pub(super) fn client_config(trust: &Trust, identity: Option<Arc<CertifiedKey>>) -> Option<Arc<ClientConfig>> {
    if identity.is_some() {
        return new_config(trust, identity);
    }
    let shared = || SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = shared().get(trust).and_then(Weak::upgrade) {
        return Some(config);
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
    Some(config)
}

fn new_config(trust: &Trust, identity: Option<Arc<CertifiedKey>>) -> Option<Arc<ClientConfig>> {
    let mut config = config(verifier::verifier(trust, false)?, identity)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(Arc::new(config))
}

/// The configuration for a server that is no target and speaks HTTP/1.1.
pub(super) fn http1_config(trust: &Trust) -> Option<Arc<ClientConfig>> {
    Some(Arc::new(config(verifier::verifier(trust, false)?, None)?))
}

/// The configuration for a proxy that itself speaks TLS: trusts public CAs beside `trust`.
pub(super) fn proxy_config(trust: &Trust) -> Option<Arc<ClientConfig>> {
    Some(Arc::new(config(verifier::verifier(trust, true)?, None)?))
}

fn config(verifier: Arc<dyn ServerCertVerifier>, identity: Option<Arc<CertifiedKey>>) -> Option<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone()).with_safe_default_protocol_versions().ok()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    // One long-lived connection per target: session tickets would only use memory.
    config.resumption = Resumption::disabled();
    Some(config)
}

#[cfg(test)]
mod tests;
