//! Small requests to the token services of clouds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::unavailable;
use crate::domain::reason::Failure;

/// Limit of a request: connecting, sending, and reading the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Upper bound of an answer. Tokens have some kilobytes.
const MAX_ANSWER: usize = 64 * 1024;

/// A client that trusts public CAs. Built with the first request: most installations never send one.
#[derive(Default)]
pub(super) struct HttpClient(std::sync::OnceLock<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>);

/// A successful answer.
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// The service's time, if it gives one.
    pub(super) date: Option<Timestamp>,
}

impl HttpClient {
    fn client(&self) -> Result<&Client<HttpsConnector<HttpConnector>, Full<Bytes>>, Failure> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| unavailable("no TLS configuration can be built"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(self.0.get_or_init(|| Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Sends the request. `service` is the name of the service for messages, and `remedy` what to check if it refuses.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        service: &str,
        remedy: &str,
    ) -> Result<Answer, Failure> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        is_permitted(request.uri(), service)?;
        let client = self.client()?;
        let exchange = async {
            let response = client
                .request(request)
                .await
                .map_err(|_| unavailable(format!("{service} can't be reached at {host}")))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body =
                body.map_err(|_| unavailable(format!("{service} broke off its answer, or sent too long a one")))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let late = |_| Err(unavailable(format!("{service} did not answer within {} s", DEADLINE.as_secs())));
        let response = timeout(DEADLINE, exchange).await.unwrap_or_else(late)?;
        match response.status() {
            StatusCode::OK => Ok(Answer { date: date(&response), body: response.into_body() }),
            StatusCode::TOO_MANY_REQUESTS => Err(unavailable(format!("{service} is throttling (429)"))),
            status if status.is_server_error() => Err(unavailable(format!("{service} answered {}", status.as_u16()))),
            status => Err(unavailable(format!("{service} answered {}; {remedy}", status.as_u16()))),
        }
    }
}

/// Plain HTTP is for the metadata services of the machine alone, which have no certificate.
fn is_permitted(uri: &Uri, service: &str) -> Result<(), Failure> {
    let host = uri.host().unwrap_or_default();
    let is_here = host == "metadata.google.internal"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| match address {
            std::net::IpAddr::V4(v4) => v4.is_link_local() || v4.is_loopback(),
            // The EKS Pod Identity agent.
            std::net::IpAddr::V6(v6) => v6.is_loopback() || v6.segments()[..2] == [0xfd00, 0xec2],
        });
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_here => Ok(()),
        _ => Err(unavailable(format!("the address of {service} is not an https:// URL"))),
    }
}

fn date<T>(response: &Response<T>) -> Option<Timestamp> {
    let text = response.headers().get(header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

/// A request with a body of `key=value` pairs.
pub(super) fn form(url: &str, pairs: &[(&str, &str)]) -> Result<Request<Full<Bytes>>, Failure> {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let body: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    Request::post(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(body.join("&")))
        .map_err(|_| unavailable("the address of the token service is not a URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_reaches_metadata_services_only() {
        for (url, is_allowed) in [
            ("https://sts.eu-west-1.amazonaws.com/", true),
            ("http://sts.eu-west-1.amazonaws.com/", false),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://metadata.google.internal/", true),
            ("http://10.0.0.1/", false),
            ("ftp://127.0.0.1/", false),
        ] {
            assert_eq!(is_permitted(&url.parse().unwrap(), "it").is_ok(), is_allowed, "{url}");
        }
    }
}
