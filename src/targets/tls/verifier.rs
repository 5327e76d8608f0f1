//! Verifies a target's certificate as kubectl does: signed by a trusted CA, or a trusted certificate itself.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::{LEAST_RSA_BITS, rsa_bits};
use super::{PROVIDER, Trust};

/// Why a certificate was refused, where rustls gives a reason that misleads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// An RSA key of so many bits.
    SmallRsaKey(usize),
    /// It is a CA's own certificate, which is not trusted.
    IsCa,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Objection {}

/// The verifier for `trust`, and of public CAs beside it if `and_public`; `None` if no certificate can be used.
pub(super) fn verifier(trust: &Trust, and_public: bool) -> Option<Arc<dyn ServerCertVerifier>> {
    let pinned = match trust {
        Trust::Anyone => return Some(Arc::new(TrustAnyone)),
        Trust::Public => Arc::default(),
        Trust::Roots(roots) | Trust::System(roots) => roots.clone(),
    };
    let mut store = RootCertStore::empty();
    if and_public || *trust == Trust::Public {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store.add_parsable_certificates(pinned.iter().cloned());
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(store), PROVIDER.clone()).build().ok()?;
    Some(Arc::new(Verifier { webpki, pinned }))
}

#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// The trusted certificates, as they are.
    pinned: Arc<[CertificateDer<'static>]>,
}

impl Verifier {
    /// A certificate that is trusted itself needs no signature, as with Go: `openssl req -x509` makes such ones.
    fn verify_pinned(shown: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        rustls::client::verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
        let (_, certificate) = X509Certificate::from_der(shown).map_err(|_| CertificateError::BadEncoding)?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = certificate.validity();
        if seconds < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if seconds > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        Ok(())
    }
}

/// The error with a better reason, if the certificate tells one.
pub(super) fn explained(error: Error, shown: &CertificateDer<'_>) -> Error {
    let hides_more = matches!(
        error,
        Error::InvalidCertificate(CertificateError::BadSignature | CertificateError::Other(_))
            | Error::InvalidCertificate(CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. })
    );
    let Some((_, certificate)) = X509Certificate::from_der(shown).ok().filter(|_| hides_more) else { return error };
    let objection = match rsa_bits(&certificate) {
        Some(bits) if bits < LEAST_RSA_BITS => Objection::SmallRsaKey(bits),
        _ if certificate.is_ca() => Objection::IsCa,
        _ => return error,
    };
    CertificateError::Other(OtherError(Arc::new(objection))).into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pinned.iter().any(|pinned| pinned == shown) {
            Self::verify_pinned(shown, name, now)?;
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self.webpki.verify_server_cert(shown, intermediates, name, ocsp, now);
        verified.map_err(|error| explained(error, shown))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, shown, dss).map_err(|error| explained(error, shown))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, shown, dss).map_err(|error| explained(error, shown))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// The `insecure-skip-tls-verify` of a user's own kubeconfig. Signatures are not verified either: whoever answers may
/// show a certificate of their own, so it would prove nothing, and ring does not verify every kind.
#[derive(Debug)]
struct TrustAnyone;

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
