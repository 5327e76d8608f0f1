//! ECDSA with P-521, which ring does not have. RKE2 makes such client keys, and proxies that inspect TLS such CAs.

use std::fmt;
use std::sync::Arc;

use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::signature::hazmat::PrehashVerifier;
use p521::ecdsa::{Signature, SigningKey, VerifyingKey};
use p521::pkcs8::{DecodePrivateKey, EncodePublicKey};
use ring::digest;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, alg_id,
};
use rustls::sign::{Signer, SigningKey as TlsKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

/// Signatures by a P-521 key over a SHA-512 hash.
pub(super) static SHA512: &dyn SignatureVerificationAlgorithm =
    &Algorithm { hash: &digest::SHA512, signature: alg_id::ECDSA_SHA512 };

/// Signatures by a P-521 key over a SHA-384 hash.
pub(super) static SHA384: &dyn SignatureVerificationAlgorithm =
    &Algorithm { hash: &digest::SHA384, signature: alg_id::ECDSA_SHA384 };

/// Signatures by a P-521 key over a SHA-256 hash, which OpenSSL makes unless told otherwise.
pub(super) static SHA256: &dyn SignatureVerificationAlgorithm =
    &Algorithm { hash: &digest::SHA256, signature: alg_id::ECDSA_SHA256 };

/// Bytes of a P-521 scalar.
const SCALAR: usize = 66;

struct Algorithm {
    hash: &'static digest::Algorithm,
    signature: AlgorithmIdentifier,
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ECDSA P-521 with {:?}", self.hash)
    }
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }

    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        let hash = digest::digest(self.hash, message);
        // A hash is a number below the order of the curve; the library refuses one of less than half its bytes.
        let mut number = [0; SCALAR];
        number[SCALAR - hash.as_ref().len()..].copy_from_slice(hash.as_ref());
        key.verify_prehash(&number, &signature).map_err(|_| InvalidSignature)
    }
}

/// A client's key.
struct Key {
    signing: SigningKey,
    /// SubjectPublicKeyInfo in DER.
    public: Vec<u8>,
}

/// Reads a P-521 key in PKCS #8 or SEC 1.
pub(super) fn load(der: &[u8]) -> Option<Arc<dyn TlsKey>> {
    let secret = p521::SecretKey::from_pkcs8_der(der).or_else(|_| p521::SecretKey::from_sec1_der(der)).ok()?;
    let public = secret.public_key().to_public_key_der().ok()?.into_vec();
    Some(Arc::new(Key { signing: SigningKey::from_bytes(&secret.to_bytes()).ok()?, public }))
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a P-521 key")
    }
}

impl TlsKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&SignatureScheme::ECDSA_NISTP521_SHA512);
        is_offered.then(|| Box::new(Sha512Signer(self.signing.clone())) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.public.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

struct Sha512Signer(SigningKey);

impl fmt::Debug for Sha512Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a P-521 signer")
    }
}

impl Signer for Sha512Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature: Signature = self.0.try_sign(message).map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}
