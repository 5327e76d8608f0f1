//! The client's certificate and key, as people have them.
//!
//! rustls takes a key by its PEM label and a certificate of X.509 version 3. kubectl takes what is here too: keys under
//! another label (KubeSphere), X.509 version 1 (MicroK8s, `openssl x509 -req`), EC keys without their public part, P-521.

use std::sync::Arc;

use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use secrecy::{ExposeSecret, SecretString};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::{PROVIDER, p521};
use crate::domain::reason::Failure;
use crate::targets::connection::invalid;

/// RSA keys of fewer bits are refused by ring, as by most servers.
pub(super) const LEAST_RSA_BITS: usize = 2048;

const KINDS: &str = "RSA from 2048 bits, ECDSA with P-256, P-384 or P-521, and Ed25519 are";

/// The certificate with its key.
///
/// # Errors
/// Names the field of the kubeconfig that can't be used.
pub(in crate::targets) fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: &SecretString,
) -> Result<Arc<CertifiedKey>, Failure> {
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| {
        invalid("client-key-data", "holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)")
    })?;
    let unreadable = || invalid("client-certificate-data", "holds a certificate that can't be read");
    let certificate =
        chain.first().and_then(|der| Some(X509Certificate::from_der(der).ok()?.1)).ok_or_else(unreadable)?;
    let key = signing_key(key.secret_der()).ok_or_else(|| match rsa_bits(&certificate) {
        Some(bits) if bits < LEAST_RSA_BITS => {
            let what =
                format!("is an RSA key of {bits} bits, and ksit needs {LEAST_RSA_BITS}: ksit target add makes a token");
            invalid("client-key-data", &what)
        }
        _ => {
            invalid("client-key-data", &format!("holds a private key of a kind that ksit can't use: {KINDS} supported"))
        }
    })?;
    let is_pair = key.public_key().is_none_or(|public| *public == *certificate.public_key().raw);
    if !is_pair {
        return Err(invalid("client-key-data", "does not fit client-certificate-data"));
    }
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// Loads the key in the form that it has, whatever its label says.
fn signing_key(der: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let forms: [PrivateKeyDer<'_>; 3] = [
        PrivatePkcs8KeyDer::from(der).into(),
        PrivatePkcs1KeyDer::from(der).into(),
        PrivateSec1KeyDer::from(der).into(),
    ];
    let load = |form: PrivateKeyDer<'_>| PROVIDER.key_provider.load_private_key(form.clone_key()).ok();
    let with_public_part = || load(PrivatePkcs8KeyDer::from(with_public_part(der)?).into());
    forms.into_iter().find_map(load).or_else(with_public_part).or_else(|| p521::load(der))
}

/// An EC key that lacks its public part, which ring requires and OpenSSL's `-no_public` leaves out, in PKCS #8 with it.
fn with_public_part(der: &[u8]) -> Option<Vec<u8>> {
    let p256 = || p256::SecretKey::from_pkcs8_der(der).or_else(|_| p256::SecretKey::from_sec1_der(der)).ok();
    let p384 = || p384::SecretKey::from_pkcs8_der(der).or_else(|_| p384::SecretKey::from_sec1_der(der)).ok();
    let encoded = match p256() {
        Some(key) => key.to_pkcs8_der(),
        None => p384()?.to_pkcs8_der(),
    };
    Some(encoded.ok()?.as_bytes().to_vec())
}

/// Size of the certificate's RSA key; `None` for other keys.
pub(super) fn rsa_bits(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}
