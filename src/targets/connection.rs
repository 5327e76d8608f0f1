//! A connection rebuilt from a kubeconfig: the address, the proxy, the trusted CA and the credential.
//!
//! Nothing else of a kubeconfig is used. `Debug` shows the address and the kind of credential, never a byte of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret, SecretString};

use super::address::Policy;
use super::live_token::LiveToken;
use super::pem;
use super::presented::Presented;
use super::proxy::Proxy;
use super::tls::{self, Trust};
use super::validity::{self, Subject};
use crate::domain::credential::Validity;
use crate::domain::reason::{Failure, Reason};

/// Everything needed to connect to one target, validated. Cheap to clone. Equality includes the credential.
#[derive(Clone)]
pub struct Connection(Arc<Parts>);

struct Parts {
    server: Server,
    server_name: ServerName<'static>,
    trust: Trust,
    presented: Presented,
    route: Route,
    tls: Arc<ClientConfig>,
    note: Option<String>,
}

/// How the server is reached.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// `None` for the user's own kubeconfig, which may point anywhere.
    pub policy: Option<Policy>,
    /// `None` to dial the server itself.
    pub proxy: Option<Proxy>,
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

/// Presented to the target: a bearer token, a client certificate or, as Azure's administrators have them,
/// both. API servers look at the certificate first.
#[derive(Clone, Default)]
pub struct Credential {
    /// A bearer token.
    pub token: Option<SecretString>,
    /// In place of `token`, one that is renewed.
    pub live_token: Option<LiveToken>,
    /// A certificate with its key.
    pub certificate: Option<ClientCertificate>,
}

/// A client certificate with its key, both in PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate, followed by its intermediates.
    pub chain: Vec<u8>,
    /// PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: SecretString,
}

/// The user's own kubeconfig, resolved by the caller: files read, plugins run.
pub struct Trusted<'a> {
    /// URL of the API server.
    pub server: &'a str,
    /// The certificates that are trusted.
    pub ca: Authority,
    /// `tls-server-name`.
    pub server_name: Option<&'a str>,
    /// URL of a proxy: http, https, socks5 or socks5h.
    pub proxy: Option<&'a str>,
    /// Presented to the server as it is.
    pub credential: Credential,
}

/// The certificates that the user's own kubeconfig trusts.
pub enum Authority {
    /// The CA in the kubeconfig, in DER.
    Kubeconfig(Vec<CertificateDer<'static>>),
    /// The CAs of the system, in DER: for a kubeconfig without one.
    System(Vec<CertificateDer<'static>>),
    /// `insecure-skip-tls-verify`: any.
    Anyone,
}

impl Connection {
    /// A connection for a kubeconfig that the user chose (`ksit check`): no address is refused.
    ///
    /// # Errors
    /// Names the field of the kubeconfig that can't be used.
    pub fn trusted(parts: Trusted<'_>) -> Result<Self, Failure> {
        let server = Server::parse(parts.server)?;
        let trust = match parts.ca {
            Authority::Kubeconfig(certificates) => Trust::roots_of(certificates, "certificate-authority-data")?,
            Authority::System(roots) => Trust::System(roots.into()),
            Authority::Anyone => Trust::Anyone,
        };
        let route = Route { policy: None, proxy: parts.proxy.map(Proxy::parse).transpose()? };
        Self::build(server, parts.server_name, trust, parts.credential, route)
    }

    pub(super) fn build(
        server: Server,
        server_name: Option<&str>,
        trust: Trust,
        credential: Credential,
        route: Route,
    ) -> Result<Self, Failure> {
        let (field, name) = match server_name {
            Some(name) => ("tls-server-name", name),
            None => ("server", server.host.trim_end_matches('.')),
        };
        let server_name =
            ServerName::try_from(name.to_owned()).map_err(|_| invalid(field, "is not a DNS name or IP address"))?;
        let mut ends = None;
        if let Some(token) = &credential.token {
            bearer(token)?;
            ends = validity::of_token(token);
        }
        let mut identity = None;
        if let Some(ClientCertificate { chain, key }) = &credential.certificate {
            let chain = certificates(chain, "client-certificate-data")?;
            ends = validity::of_chain(&chain);
            identity = Some(tls::identity(chain, key)?);
        }
        let tls = tls::client_config(&trust, identity)
            .ok_or_else(|| invalid("certificate-authority-data", "holds no certificate that can be used as a CA"))?;
        let presented = Presented::new(credential, ends);
        Ok(Self(Arc::new(Parts { server, server_name, trust, presented, route, tls, note: None })))
    }

    /// The same connection with a note for the target's status.
    pub(super) fn with_note(self, note: Option<String>) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(parts) => Self(Arc::new(Parts { note, ..parts })),
            Err(shared) => Self(shared),
        }
    }

    /// Remark on the connection that is no fault.
    pub fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// Whether both lead to the same cluster, so that state cached for one is valid for the other.
    pub fn is_same_server(&self, other: &Self) -> bool {
        self.0.server == other.0.server && self.0.server_name == other.0.server_name && self.0.trust == other.0.trust
    }

    /// `host:port` for messages; an IPv6 address stands in brackets.
    pub fn host_display(&self) -> String {
        self.0.server.display()
    }

    /// The dialled host, for messages: the server, or the proxy before it.
    pub(super) fn dialled(&self) -> String {
        match &self.0.route.proxy {
            Some(proxy) => format!("{} behind the proxy {}", self.host_display(), proxy.display()),
            None => self.host_display(),
        }
    }

    /// Validity of the credential, if it states one.
    pub fn validity(&self) -> Option<Validity> {
        self.0.presented.validity()
    }

    /// The account that the token states, if the credential is a token alone.
    pub(super) fn subject(&self) -> Option<Subject> {
        self.0.presented.subject()
    }

    /// Presents the token of `next` from the next request on, if nothing else differs and it is of the same account.
    /// Returns whether it does.
    pub fn adopt_token(&self, next: &Self) -> bool {
        self.is_same_server(next) && self.0.route == next.0.route && self.0.presented.adopt(&next.0.presented)
    }

    pub(super) fn server(&self) -> &Server {
        &self.0.server
    }

    pub(super) fn server_name(&self) -> &ServerName<'static> {
        &self.0.server_name
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.0.route.proxy.as_ref()
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// Why this address, to which the dialled name resolves, is refused, if it is.
    pub(super) fn objection(&self, address: IpAddr) -> Option<&'static str> {
        let policy = self.0.route.policy.as_ref()?;
        match &self.0.route.proxy {
            Some(_) => policy.objection(address),
            None => policy.resolved_objection(&self.0.server.host, address),
        }
    }

    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        &self.0.tls
    }

    /// The `Authorization` header, for tokens; a failure if there is no token to send.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        self.0.presented.authorization()
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.is_same_server(other) && self.0.presented == other.0.presented && self.0.route == other.0.route)
    }
}

impl Eq for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} with {:?})", self.host_display(), self.0.presented)
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
        host_port(&self.host, self.port)
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub(super) fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

pub(super) fn invalid(field: &str, what: &str) -> Failure {
    Failure::new(Reason::KubeconfigInvalid, format!("{field} {what}"))
}

fn certificates(bundle: &[u8], field: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let chain: Option<Vec<_>> = pem::certificates(bundle).into_iter().collect();
    match chain {
        None => Err(invalid(field, "holds PEM that can't be read")),
        Some(chain) if chain.is_empty() => Err(invalid(field, &pem::none_found(bundle))),
        Some(chain) => Ok(chain),
    }
}

pub(super) fn bearer(token: &SecretString) -> Result<HeaderValue, Failure> {
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
