//! One POST to a receiver.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

use super::url::ReceiverUrl;
use super::{Payload, Secrets};
use crate::domain::notify::DeliveryFault;
use crate::domain::reason::Reason;
use crate::targets::{Outbound, OutboundError, Server};

/// Limit of a request: connecting, sending, and the head of the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A successful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) code: u16,
    /// Host and port that answered.
    pub(crate) host: String,
}

pub(super) async fn post(
    outbound: &Outbound,
    url: &ReceiverUrl,
    secrets: &Secrets,
    payload: Payload,
) -> Result<Answer, DeliveryFault> {
    let (host, latest) = (url.display(), Instant::now() + DEADLINE);
    let ca = secrets.ca.as_ref().map(|ca| ca.expose_secret().as_bytes());
    let server = Server { host: &url.host, port: url.port, encrypted: url.encrypted, ca };
    let stream = outbound.open(&server, DEADLINE).await.map_err(|error| not_open(&host, error))?;
    let request = request(url, secrets, payload)?;
    let exchange = async {
        let lost = |_| DeliveryFault::new("ConnectionLost", format!("{host} ended the connection without an answer"));
        let (mut sender, mut connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let answer = sender.send_request(request);
        tokio::pin!(answer);
        let answer = tokio::select! {
            answer = &mut answer => answer,
            // A server may close the connection behind its answer.
            _ = &mut connection => answer.await,
        }
        .map_err(lost)?;
        // The body is never read: the connection is dropped with it.
        Ok(answer.status())
    };
    let answered = timeout_at(latest, exchange).await;
    let code = answered.unwrap_or_else(|_| Err(not_open(&host, OutboundError::TimedOut)))?;
    if code.is_success() { Ok(Answer { code: code.as_u16(), host }) } else { Err(refused(&host, code)) }
}

fn request(url: &ReceiverUrl, secrets: &Secrets, payload: Payload) -> Result<Request<Full<Bytes>>, DeliveryFault> {
    let invalid = || DeliveryFault::new("InvalidUrl", "the URL or the bearer token can't stand in a request");
    let Payload { content_type, headers, body } = payload;
    let mut request = Request::post(url.path.expose_secret())
        .header(HOST, &url.authority)
        .header(CONTENT_TYPE, content_type)
        .header(USER_AGENT, concat!("ksit/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let Some(token) = &secrets.token {
        request = request.header(AUTHORIZATION, bearer(token).ok_or_else(invalid)?);
    }
    request.body(Full::from(body)).map_err(|_| invalid())
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn not_open(host: &str, error: OutboundError) -> DeliveryFault {
    let (reason, words) = match error {
        OutboundError::Refused(why) => ("AddressRefused", format!("{host} is {why}, to which ksit sends nothing")),
        OutboundError::NotResolved => {
            ("NameNotResolved", format!("the name of {host} does not resolve; check the URL and the DNS of the hub"))
        }
        OutboundError::ConnectFailed => (
            "ConnectFailed",
            format!("{host} can't be reached; check that the receiver runs, and the network between the hub and it"),
        ),
        OutboundError::TimedOut => ("TimedOut", format!("{host} did not answer within {} s", DEADLINE.as_secs())),
        OutboundError::NoCa => ("SecretInvalid", "the Secret of caSecretRef holds no CA certificate in PEM".to_owned()),
        OutboundError::Certificate(Reason::CertificateExpired) => {
            ("CertificateExpired", format!("the certificate of {host} has expired or is not valid yet"))
        }
        OutboundError::Certificate(Reason::CertificateNameMismatch) => {
            ("CertificateNameMismatch", format!("the certificate of {host} is for another name"))
        }
        OutboundError::Certificate(_) => (
            "CertificateUnknown",
            format!("the certificate of {host} is not signed by a trusted CA; give that one by caSecretRef"),
        ),
        OutboundError::TlsFailed => {
            ("TlsFailed", format!("no TLS handshake with {host}; check scheme and port of the URL"))
        }
    };
    DeliveryFault::new(reason, words)
}

fn refused(host: &str, code: StatusCode) -> DeliveryFault {
    let (reason, remedy) = match code.as_u16() {
        300..400 => ("Redirected", "ksit follows no redirect; give the final URL"),
        429 => ("Throttled", "ksit tries again later"),
        500.. => ("ServerError", "ksit tries again"),
        _ => ("Refused", "check the URL, the credential and the settings of the receiver"),
    };
    DeliveryFault::new(reason, format!("{host} answered {}; {remedy}", code.as_u16()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::targets::kubeconfig::Policy;

    /// Sends a request to a server that answers with `answer`, or leaves without one.
    async fn posted(answer: &'static str) -> (Result<Answer, DeliveryFault>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/s3cret?token=s3cret", listener.local_addr().unwrap());
        let outbound = Outbound::new(Some(Policy { allow_loopback: true, ..Policy::default() }));
        let secrets = Secrets { token: Some("t0ken".into()), ..Secrets::default() };
        let payload = Payload::json("application/json", &serde_json::json!({"a": 1}));
        let url = ReceiverUrl::parse(&url).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = vec![0; 4_096];
            let mut length = 0;
            while !read[..length].ends_with(b"{\"a\":1}") {
                length += stream.read(&mut read[length..]).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&read[..length]).into_owned()
        };
        tokio::join!(post(&outbound, &url, &secrets, payload), serve)
    }

    #[tokio::test]
    async fn request_has_the_token_and_the_status_code_is_the_answer() {
        // The body never comes.
        let (answer, request) = posted("HTTP/1.1 202 Accepted\r\ncontent-length: 1000000\r\n\r\n").await;
        assert_eq!(answer.unwrap().code, 202);
        assert!(request.starts_with("POST /s3cret?token=s3cret HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer t0ken\r\n"), "{request}");
    }

    #[tokio::test]
    async fn faults_name_the_host_and_nothing_secret() {
        for (answer, reason, words) in [
            ("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n\r\n", "Redirected", "answered 302"),
            ("HTTP/1.1 403 Forbidden\r\n\r\nthe receiver's words", "Refused", "answered 403"),
            ("HTTP/1.1 429 Too Many Requests\r\n\r\n", "Throttled", "answered 429"),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "ServerError", "answered 503"),
            ("", "ConnectionLost", "without an answer"),
            ("no HTTP\r\n\r\n", "ConnectionLost", "without an answer"),
        ] {
            let fault = posted(answer).await.0.unwrap_err();
            let shown = fault.message.as_str();
            assert!(fault.reason == reason && shown.contains(words) && shown.starts_with("127.0.0.1:"), "{fault:?}");
            assert!(!shown.contains("s3cret") && !shown.contains("receiver's words"), "{shown}");
        }
    }
}
