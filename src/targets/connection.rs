//! A connection rebuilt from a kubeconfig: the address, the trusted CA and the credential.
//!
//! Nothing else of a kubeconfig is used. `Debug` shows the address and the kind of credential, never a byte of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use secrecy::{ExposeSecret, SecretString};

use super::address::Policy;
use super::tls::{self, Trust, Unusable};
use super::validity;
use crate::domain::credential::Validity;
use crate::domain::reason::{Failure, Reason};

/// Everything needed to connect to one target, validated. Cheap to clone. Equality includes the credential.
#[derive(Clone)]
pub struct Connection(Arc<Parts>);

struct Parts {
    server: Server,
    server_name: ServerName<'static>,
    trust: Trust,
    credential: Credential,
    /// `None` for the user's own kubeconfig, which may point anywhere.
    policy: Option<Policy>,
    tls: Arc<ClientConfig>,
    /// Validity of the credential.
    validity: Option<Validity>,
}

/// The location of an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Host and port as in the URL, without a port if it has none. Proxies route by it.
    pub authority: String,
    /// The path before `/api`, without a trailing slash; usually empty.
    pub path: String,
}

/// The credential that ksit presents to the target.
#[derive(Clone)]
pub enum Credential {
    /// A bearer token.
    Token(SecretString),
    /// Both in PEM.
    ClientCertificate {
        /// The certificate, followed by its intermediates.
        chain: Vec<u8>,
        /// PKCS #8, PKCS #1 or SEC 1, not encrypted.
        key: SecretString,
    },
}

/// The user's own kubeconfig, resolved by the caller: files read, plugins run.
pub struct Trusted<'a> {
    /// URL of the API server.
    pub server: &'a str,
    /// PEM. Required unless `insecure`; for a kubeconfig without one the caller reads the system's bundle, as kubectl
    /// does.
    pub ca: Option<&'a [u8]>,
    /// `tls-server-name`.
    pub server_name: Option<&'a str>,
    /// Presented to the server as it is.
    pub credential: Credential,
    /// `insecure-skip-tls-verify`: accepts any certificate.
    pub insecure: bool,
}

impl Connection {
    /// A connection for a kubeconfig that the user chose (`ksit check`): no address is refused.
    ///
    /// # Errors
    /// Names the field of the kubeconfig that can't be used.
    pub fn trusted(parts: Trusted<'_>) -> Result<Self, Failure> {
        let server = Server::parse(parts.server)?;
        let trust = match parts.ca {
            _ if parts.insecure => Trust::Nobody,
            Some(pem) => Trust::Roots(certificates(pem, "certificate-authority-data")?),
            None => {
                return Err(Failure::new(
                    Reason::KubeconfigInvalid,
                    "the cluster has no certificate authority; give certificate-authority or certificate-authority-data",
                ));
            }
        };
        Self::build(server, parts.server_name, trust, parts.credential, None)
    }

    pub(super) fn build(
        server: Server,
        server_name: Option<&str>,
        trust: Trust,
        credential: Credential,
        policy: Option<Policy>,
    ) -> Result<Self, Failure> {
        let (field, name) = match server_name {
            Some(name) => ("tls-server-name", name),
            None => ("server", server.host.trim_end_matches('.')),
        };
        let server_name =
            ServerName::try_from(name.to_owned()).map_err(|_| invalid(field, "is not a DNS name or IP address"))?;
        let (identity, validity) = match &credential {
            Credential::Token(token) => {
                bearer(token)?;
                (None, validity::of_token(token))
            }
            Credential::ClientCertificate { chain, key } => {
                let chain = certificates(chain, "client-certificate-data")?;
                let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| {
                    invalid("client-key-data", "holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)")
                })?;
                let validity = validity::of_chain(&chain);
                (Some((chain, key)), validity)
            }
        };
        let tls = tls::client_config(&trust, identity).map_err(|unusable| match unusable {
            Unusable::Ca => invalid("certificate-authority-data", "holds a certificate that can't be used as a CA"),
            Unusable::Identity => invalid("client-key-data", "does not fit client-certificate-data"),
        })?;
        Ok(Self(Arc::new(Parts { server, server_name, trust, credential, policy, tls, validity })))
    }

    /// Whether both lead to the same cluster, so that state cached for one is valid for the other.
    pub fn is_same_server(&self, other: &Self) -> bool {
        self.0.server == other.0.server && self.0.server_name == other.0.server_name && self.0.trust == other.0.trust
    }

    /// `host:port` for messages; an IPv6 address stands in brackets.
    pub fn host_display(&self) -> String {
        self.0.server.display()
    }

    /// Validity of the credential, if it states one.
    pub fn validity(&self) -> Option<Validity> {
        self.0.validity
    }

    pub(super) fn server(&self) -> &Server {
        &self.0.server
    }

    pub(super) fn server_name(&self) -> &ServerName<'static> {
        &self.0.server_name
    }

    /// Why this resolved address is refused, if it is.
    pub(super) fn objection(&self, address: IpAddr) -> Option<&'static str> {
        self.0.policy.as_ref().and_then(|policy| policy.objection(address))
    }

    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        &self.0.tls
    }

    /// The `Authorization` header, for tokens.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        match &self.0.credential {
            Credential::Token(token) => bearer(token).ok(),
            Credential::ClientCertificate { .. } => None,
        }
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        let Parts { server, server_name, trust, credential, policy, tls: _, validity: _ } = &*self.0;
        Arc::ptr_eq(&self.0, &other.0)
            || (*server == other.0.server
                && *server_name == other.0.server_name
                && *trust == other.0.trust
                && *credential == other.0.credential
                && *policy == other.0.policy)
    }
}

impl Eq for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} with {:?})", self.host_display(), self.0.credential)
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(a), Self::Token(b)) => a.expose_secret() == b.expose_secret(),
            (Self::ClientCertificate { chain: a, key: k }, Self::ClientCertificate { chain: b, key: l }) => {
                a == b && k.expose_secret() == l.expose_secret()
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "a token",
            Self::ClientCertificate { .. } => "a client certificate",
        })
    }
}

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self, Failure> {
        let url = url.trim();
        if url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")) {
            return Err(Failure::new(
                Reason::KubeconfigRefused,
                "server is an http:// URL, over which the credential could be read; give the https:// one",
            ));
        }
        let unreadable = || invalid("server", "is not a URL like https://host:6443");
        // `Uri` drops a fragment, and a query would end up in the middle of request paths.
        if url.contains(['@', '#', '?']) {
            return Err(invalid("server", "may only hold host, port and path: no user, query or fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| unreadable())?;
        if uri.scheme_str() != Some("https") {
            return Err(unreadable());
        }
        let authority = uri.authority().ok_or_else(unreadable)?;
        let host = authority.host();
        let rest = &authority.as_str()[host.len()..];
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(unreadable)?,
            None if rest.is_empty() => 443,
            None => return Err(unreadable()),
        };
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().map_err(|_| unreadable())?.to_string(),
            None if is_host_name(host) => host.to_ascii_lowercase(),
            None => return Err(unreadable()),
        };
        if uri.path().split('/').any(|part| part == "." || part == "..") {
            return Err(unreadable());
        }
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let authority = if rest.is_empty() { bracketed } else { format!("{bracketed}:{port}") };
        Ok(Self { host, port, authority, path: uri.path().trim_end_matches('/').to_owned() })
    }

    fn display(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

pub(super) fn invalid(field: &str, what: &str) -> Failure {
    Failure::new(Reason::KubeconfigInvalid, format!("{field} {what}"))
}

pub(super) fn certificates(pem: &[u8], field: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| invalid(field, "holds PEM that can't be read"))?;
    if chain.is_empty() {
        return Err(invalid(field, "holds no certificate in PEM"));
    }
    Ok(chain)
}

fn bearer(token: &SecretString) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .map_err(|_| invalid("token", "holds characters that can't be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_is_taken_from_the_url() {
        for (url, authority, display) in [
            ("https://c1.example.com", "c1.example.com", "c1.example.com:443"),
            ("https://C1.example.com:443/k8s/", "c1.example.com:443", "c1.example.com:443"),
            ("https://10.0.0.1:6443", "10.0.0.1:6443", "10.0.0.1:6443"),
            ("https://[fd00:0::1]", "[fd00::1]", "[fd00::1]:443"),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", "[fd00::1]:6443"),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!((server.authority.as_str(), server.display().as_str()), (authority, display), "{url}");
        }
    }
}
