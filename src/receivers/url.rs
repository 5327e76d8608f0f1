//! The URL of a receiver. That of a chat is a credential: `Debug` and messages have its host alone.

use std::fmt;

use hyper::Uri;
use secrecy::{ExposeSecret, SecretString};

use crate::domain::notify::DeliveryFault;

pub(super) struct ReceiverUrl {
    pub(super) encrypted: bool,
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port as in the URL.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: SecretString,
}

impl ReceiverUrl {
    /// A URL that the Notifier shows.
    pub(super) fn parse(text: &str) -> Result<Self, DeliveryFault> {
        Self::read(text, "url")
    }

    /// A URL from a Secret: always encrypted, unless it leads to this very machine.
    pub(super) fn secret(text: Option<&SecretString>) -> Result<Self, DeliveryFault> {
        let text = text.map(|text| text.expose_secret().trim()).unwrap_or_default();
        let url = Self::read(text, "the URL in the Secret")?;
        let is_here =
            url.host == "localhost" || url.host.parse::<std::net::IpAddr>().is_ok_and(|host| host.is_loopback());
        match url.encrypted || is_here {
            true => Ok(url),
            false => Err(DeliveryFault::new("InvalidUrl", "the URL in the Secret must begin with https://")),
        }
    }

    fn read(text: &str, name: &str) -> Result<Self, DeliveryFault> {
        let invalid = || {
            DeliveryFault::new(
                "InvalidUrl",
                format!("{name} is not a URL such as https://example.com/path without user and password"),
            )
        };
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let (encrypted, usual_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(invalid()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(invalid)?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            encrypted,
            host: host.to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(usual_port),
            authority: authority.as_str().to_owned(),
            path: path.into(),
        })
    }

    /// The URL with a path below its own.
    pub(super) fn below(self, path: &str) -> Self {
        let (own, query) = match self.path.expose_secret().split_once('?') {
            Some((own, query)) => (own, format!("?{query}")),
            None => (self.path.expose_secret(), String::new()),
        };
        let path = format!("{}{path}{query}", own.trim_end_matches('/'));
        Self { path: path.into(), ..self }
    }

    /// Host and port, for messages.
    pub(super) fn display(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }
}

impl fmt::Debug for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReceiverUrl").field(&self.display()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_taken_apart() {
        for (text, host, port, path) in [
            ("https://hooks.example.com/services/T0/B0/x?y=z", "hooks.example.com", 443, "/services/T0/B0/x?y=z"),
            ("http://AM.monitoring:9093", "am.monitoring", 9093, "/"),
            ("https://[fd00::1]:8443/a", "fd00::1", 8443, "/a"),
        ] {
            let url = ReceiverUrl::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.port, url.path.expose_secret()), (host, port, path), "{text}");
        }
        let below =
            |text: &str| ReceiverUrl::parse(text).unwrap().below("/api/v2/alerts").path.expose_secret().to_owned();
        assert_eq!(below("http://am:9093"), "/api/v2/alerts");
        assert_eq!(below("http://am:9093/prefix/?a=b"), "/prefix/api/v2/alerts?a=b");
    }

    #[test]
    fn unusable_urls_are_refused_without_quoting_them() {
        for text in [
            "",
            "hooks.example.com/s3cret",
            "ftp://a/s3cret",
            "https://u:s3cret@a/",
            "https:///s3cret",
            "https://a b/s3cret",
        ] {
            let fault = ReceiverUrl::secret(Some(&text.into())).unwrap_err();
            assert!(fault.reason == "InvalidUrl" && !fault.message.contains("s3cret"), "{text}: {fault:?}");
        }
        let plain = ReceiverUrl::secret(Some(&"http://hooks.example.com/s3cret".into())).unwrap_err();
        assert_eq!(plain.message, "the URL in the Secret must begin with https://");
        let shown = format!("{:?}", ReceiverUrl::parse("https://a.example/s3cret").unwrap());
        assert_eq!(shown, "ReceiverUrl(\"a.example:443\")");
    }
}
