//! How to reach a target: rebuilt from what was checked, never a user's file passed on.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use secrecy::{ExposeSecret, SecretString};

/// A checked way to a target.
#[derive(Clone)]
pub struct Connection {
    /// Host as the kubeconfig spells it; for messages and the `Host` header.
    pub host: String,
    pub port: u16,
    /// Path before `/api`, without a slash at its end; empty for most.
    pub path: String,
    /// Certificates that the target's certificate must come from.
    pub ca: Vec<CertificateDer<'static>>,
    /// Whom the target's certificate must name.
    pub server_name: ServerName<'static>,
    pub credential: Credential,
    /// `insecure-skip-tls-verify`, for a user's own kubeconfig only.
    pub skip_verification: bool,
}

/// How ksit proves to a target who it is.
#[derive(Clone)]
pub enum Credential {
    Token(SecretString),
    Certificate { chain: Vec<CertificateDer<'static>>, key: SecretString },
}

impl Credential {
    /// Checks that `chain` and `key` are PEM. Err names the field.
    pub fn certificate(chain: &[u8], key: &[u8]) -> Result<Self, &'static str> {
        let chain = certificates(chain).ok_or("client-certificate-data")?;
        let key = std::str::from_utf8(key).map_err(|_| "client-key-data")?;
        PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "client-key-data")?;
        Ok(Self::Certificate { chain, key: key.to_owned().into() })
    }
}

impl Connection {
    /// Host and port, for people.
    pub fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether `other` leads to the same place with the same credential.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { host, port, path, ca, server_name, credential, skip_verification } = self;
        host == &other.host
            && port == &other.port
            && path == &other.path
            && ca == &other.ca
            && server_name == &other.server_name
            && skip_verification == &other.skip_verification
            && credential.is_same(&other.credential)
    }
}

impl Credential {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(a), Self::Token(b)) => a.expose_secret() == b.expose_secret(),
            (Self::Certificate { chain, key }, Self::Certificate { chain: other_chain, key: other_key }) => {
                chain == other_chain && key.expose_secret() == other_key.expose_secret()
            }
            _ => false,
        }
    }
}

/// Every certificate in `pem`; none if one is broken or there is none.
pub(super) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!all.is_empty()).then_some(all)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("server", &self.server()).finish_non_exhaustive()
    }
}
