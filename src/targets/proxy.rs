//! A proxy between ksit and a target: HTTP CONNECT in plain text or in TLS, and SOCKS 5.
//!
//! TLS with the target runs end to end through it: a proxy sees the name of the target and no credential of it.

use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use hyper::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower::{Service, service_fn};

use super::connection::{Server, host_port, invalid, is_host_name};
use super::tls::{self, Trust};
use crate::domain::reason::{Failure, Reason};

/// The transport under the TLS of a target; the right one is a proxy's own TLS.
pub(super) type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A `proxy-url`, checked.
#[derive(Clone)]
pub(super) struct Proxy(Arc<Parts>);

struct Parts {
    protocol: Protocol,
    host: String,
    port: u16,
    /// User and password.
    user: Option<(String, SecretString)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Https,
    /// The proxy resolves the name of the target, as with kubectl.
    Socks5,
}

impl Proxy {
    /// Reads a URL like `http://user:password@proxy.example.com:3128`. Without a scheme it is `http`.
    pub(super) fn parse(url: &str) -> Result<Self, Failure> {
        let unreadable = || invalid("proxy-url", "is not a URL like http://proxy.example.com:3128");
        let url = url.trim();
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = with_scheme.parse().map_err(|_| unreadable())?;
        let (protocol, usual_port) = match uri.scheme_str() {
            Some("http") => (Protocol::Http, 80),
            Some("https") => (Protocol::Https, 443),
            Some("socks5" | "socks5h") => (Protocol::Socks5, 1080),
            _ => {
                return Err(invalid(
                    "proxy-url",
                    "has a scheme that ksit does not speak: http, https, socks5 and socks5h",
                ));
            }
        };
        let authority = uri.authority().ok_or_else(unreadable)?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_ascii_lowercase();
        if !is_host_name(&host) && host.parse::<std::net::IpAddr>().is_err() {
            return Err(unreadable());
        }
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()).filter(|port| *port != 0).ok_or_else(unreadable)?,
            None => usual_port,
        };
        let user = match authority.as_str().rsplit_once('@') {
            Some((user, _)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                let decode = |text| percent_decoded(text).ok_or_else(unreadable);
                Some((decode(name)?, decode(password)?.into()))
            }
            None => None,
        };
        Ok(Self(Arc::new(Parts { protocol, host, port, user })))
    }

    /// A name or an address, without brackets.
    pub(super) fn host(&self) -> &str {
        &self.0.host
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port
    }

    /// `host:port` for messages.
    pub(super) fn display(&self) -> String {
        host_port(&self.0.host, self.0.port)
    }

    /// Asks the proxy behind `stream` for a tunnel to the server. `trust` is that of the server: as with kubectl, the
    /// CA of the kubeconfig may have signed the proxy's certificate too.
    pub(super) async fn tunnel(&self, stream: TcpStream, server: &Server, trust: &Trust) -> Result<Transport, Failure> {
        let stream = match self.0.protocol {
            Protocol::Https => Either::Right(Box::new(self.encrypted(stream, trust).await?)),
            Protocol::Http | Protocol::Socks5 => Either::Left(stream),
        };
        let to = host_port(&server.host, server.port);
        let target: Uri = format!("https://{to}").parse().map_err(|_| self.failed(&to))?;
        let mut stream = Some(TokioIo::new(stream));
        let connector = service_fn(move |_: Uri| {
            let taken = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
            std::future::ready(taken)
        });
        // Neither looks at this address: the connection is there.
        let proxy = Uri::from_static("http://proxy");
        let tunnelled = match self.0.protocol {
            Protocol::Socks5 => {
                let socks = SocksV5::new(proxy, connector);
                let mut socks = match &self.0.user {
                    Some((name, password)) => socks.with_auth(name.clone(), password.expose_secret().to_owned()),
                    None => socks,
                };
                socks.call(target).await.map_err(|_| self.refused(&to))?
            }
            Protocol::Http | Protocol::Https => {
                let tunnel = Tunnel::new(proxy, connector);
                let mut tunnel = match self.basic() {
                    Some(header) => tunnel.with_auth(header),
                    None => tunnel,
                };
                tunnel.call(target).await.map_err(|_| self.refused(&to))?
            }
        };
        Ok(tunnelled.into_inner())
    }

    async fn encrypted(&self, stream: TcpStream, trust: &Trust) -> Result<TlsStream<TcpStream>, Failure> {
        let name = ServerName::try_from(self.0.host.clone())
            .map_err(|_| invalid("proxy-url", "has a host that is not a DNS name or IP address"))?;
        let config = tls::proxy_config(trust).ok_or_else(|| self.failed("the target"))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        connected.map_err(|error| {
            let failure = tls::handshake_failure(&format!("the proxy {}", self.display()), trust, &error);
            Failure::new(Reason::ProxyFailed, failure.message)
        })
    }

    /// The header with user and password.
    fn basic(&self) -> Option<HeaderValue> {
        let (name, password) = self.0.user.as_ref()?;
        let pair = STANDARD.encode(format!("{name}:{}", password.expose_secret()));
        HeaderValue::try_from(format!("Basic {pair}")).ok()
    }

    fn refused(&self, to: &str) -> Failure {
        let credentials = match self.0.user {
            Some(_) => "accepts its user and password",
            None => "needs no user and password (proxy-url has none)",
        };
        Failure::new(
            Reason::ProxyFailed,
            format!(
                "the proxy {} opens no tunnel to {to}; check that it reaches that address, lets ksit through, and \
                 {credentials}",
                self.display()
            ),
        )
    }

    fn failed(&self, to: &str) -> Failure {
        Failure::new(
            Reason::ProxyFailed,
            format!("no tunnel through the proxy {} to {to} can be built", self.display()),
        )
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        let user = |proxy: &Self| {
            proxy.0.user.as_ref().map(|(name, password)| (name.clone(), password.expose_secret().to_owned()))
        };
        (self.0.protocol, &self.0.host, self.0.port, user(self))
            == (other.0.protocol, &other.0.host, other.0.port, user(other))
    }
}

impl Eq for Proxy {}

fn percent_decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_url_is_read_as_by_kubectl() {
        for (url, protocol, display) in [
            ("http://proxy.example.com:3128", Protocol::Http, "proxy.example.com:3128"),
            ("http://proxy.example.com", Protocol::Http, "proxy.example.com:80"),
            ("proxy.example.com:3128/", Protocol::Http, "proxy.example.com:3128"),
            ("https://Proxy", Protocol::Https, "proxy:443"),
            ("socks5://10.0.0.1", Protocol::Socks5, "10.0.0.1:1080"),
            ("socks5h://[fd00::1]:9050", Protocol::Socks5, "[fd00::1]:9050"),
        ] {
            let proxy = Proxy::parse(url).unwrap();
            assert_eq!((proxy.0.protocol, proxy.display().as_str()), (protocol, display), "{url}");
            assert!(proxy.0.user.is_none());
        }
    }

    #[test]
    fn proxy_credentials_are_decoded_and_never_shown() {
        let proxy = Proxy::parse("http://me%40corp:se%3Acret@proxy:3128").unwrap();
        let (name, password) = proxy.0.user.as_ref().unwrap();
        assert_eq!((name.as_str(), password.expose_secret()), ("me@corp", "se:cret"));
        assert_eq!(proxy.basic().unwrap(), "Basic bWVAY29ycDpzZTpjcmV0");
        for message in [proxy.display(), proxy.refused("c1:6443").message, proxy.failed("c1:6443").message] {
            assert!(!message.contains("cret") && !message.contains("corp"), "{message}");
        }
    }

    #[test]
    fn unusable_proxy_url_is_named_without_its_value() {
        for url in
            ["ftp://planted:planted@proxy", "http://", "http://:planted@", "http://a b", "http://h:0", "socks4://h"]
        {
            let message = Proxy::parse(url).err().unwrap().message;
            assert!(message.starts_with("proxy-url ") && !message.contains("planted"), "{message}");
        }
    }
}
