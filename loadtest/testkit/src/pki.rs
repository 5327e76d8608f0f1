//! The certificate authority of one control plane.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A CA that issues certificates.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate alone, without its CA.
    pub cert: String,
    /// The private key in PKCS #8.
    pub key: String,
}

impl Pki {
    /// Creates a CA with a new key; `name` is its common name.
    ///
    /// # Errors
    /// Fails if the key can't be generated.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = params(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let ca_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), ca_pem })
    }

    /// The certificate of the CA, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Issues a certificate for a server on loopback, by address or as `localhost`.
    ///
    /// # Errors
    /// Fails if the key can't be generated.
    pub fn server(&self, name: &str) -> Result<Identity, rcgen::Error> {
        let mut params = params(name, None);
        params.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into()?),
            SanType::DnsName("kubernetes.default.svc".try_into()?),
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// Issues a certificate for a user of the API server, with the group for RBAC.
    ///
    /// # Errors
    /// Fails if the key can't be generated.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity, rcgen::Error> {
        self.sign(client(user, group))
    }

    /// Like [`Self::client`], with a certificate that is a year old and expires after `left`.
    ///
    /// # Errors
    /// Fails if the key can't be generated.
    pub fn old_client(&self, user: &str, group: Option<&str>, left: Duration) -> Result<Identity, rcgen::Error> {
        let mut params = client(user, group);
        let now = SystemTime::now();
        (params.not_before, params.not_after) = ((now - YEAR).into(), (now + left).into());
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        Ok(Identity { cert: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

/// A key pair for service account tokens: private and public key, as PEM.
pub(crate) fn signing_key() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn client(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = params(user, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn params(name: &str, group: Option<&str>) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params
}
