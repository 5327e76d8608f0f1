//! Sends the requests for Leases and the shard map: with a short deadline each, and without retries.
//!
//! A late renewal is worse than none, since the decision behind it may be outdated. After a request that hung, the next
//! one uses a new connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::client::Body;
use kube::{Client, Config};
use rustls::CertificateError;
use tokio::time::timeout;

use super::cause::{NoAnswer, cause};

/// Deadline of a request, connecting included.
pub const PROMPT_TIMEOUT: Duration = Duration::from_secs(3);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The object was written, created or deleted by another process meanwhile.
    #[error("it changed meanwhile")]
    Conflict,
    #[error("the API server refuses it: {0}")]
    Refused(String),
    /// The request may still have taken effect.
    #[error("the hub does not answer: {0}")]
    Unavailable(String),
    #[error("the hub's certificate is not trusted: {0}")]
    Untrusted(String),
}

impl PromptError {
    /// Whether the API server has answered.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Unavailable(_) | Self::Untrusted(_))
    }
}

impl From<kube::Error> for PromptError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 | 409 => Self::Conflict,
                429 | 500.. => Self::Unavailable(status.message),
                _ => Self::Refused(status.message),
            },
            error => match why_untrusted(&error) {
                Some(why) => Self::Untrusted(why.to_string()),
                None => Self::Unavailable(format!("it {}", cause(&error))),
            },
        }
    }
}

/// Returns why the hub's certificate is not trusted, if that caused `error`.
fn why_untrusted<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(why);
    }
    // io::Error::source() skips the wrapped error and returns the source of that.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let wrapped = wrapped.and_then(|wrapped| why_untrusted(wrapped as &(dyn std::error::Error + 'static)));
    wrapped.or_else(|| error.source().and_then(why_untrusted))
}

type Connect = Arc<dyn Fn() -> Result<Client, kube::Error> + Send + Sync>;

/// A client with its own connection for urgent requests. Cheap to clone.
#[derive(Clone)]
pub struct PromptClient {
    connect: Connect,
    client: Arc<Mutex<Client>>,
    /// Deadline of each request.
    deadline: Duration,
}

impl PromptClient {
    pub fn new(mut config: Config, deadline: Duration) -> Result<Self, kube::Error> {
        config.connect_timeout = Some(deadline);
        // No read timeout: it would also close a connection that is idle between two renewals, just when the next one
        // starts. Each request has our own deadline.
        config.read_timeout = None;
        config.default_retry = false;
        Self::connected_by(Arc::new(move || Client::try_from(config.clone())), deadline)
    }

    /// Creates a client that `connect` connects, and reconnects.
    pub fn connected_by(connect: Connect, deadline: Duration) -> Result<Self, kube::Error> {
        let client = Arc::new(Mutex::new(connect()?));
        Ok(Self { connect, client, deadline })
    }

    /// Sends one request.
    pub async fn ask<T, E>(&self, request: impl AsyncFnOnce(Client) -> Result<T, E>) -> Result<T, PromptError>
    where
        PromptError: From<E>,
    {
        self.within(self.deadline, request(self.client())).await
    }

    /// Sends several requests in sequence, each with its own deadline: a slow hub can answer them all, and a silent one
    /// blocks no longer than with [`Self::ask`].
    pub async fn ask_in_turn<T, E>(
        &self,
        requests: u32,
        make: impl AsyncFnOnce(Client) -> Result<T, E>,
    ) -> Result<T, PromptError>
    where
        PromptError: From<E>,
    {
        let client = self.client();
        let namespace = client.default_namespace().to_owned();
        let this = self.clone();
        let each = tower::service_fn(move |request: http::Request<Body>| {
            let (client, this) = (client.clone(), this.clone());
            async move {
                match timeout(this.deadline, client.send(request)).await {
                    Ok(answer) => answer.map_err(BoxError::from),
                    Err(_) => {
                        this.reconnect();
                        Err(BoxError::from(NoAnswer(this.deadline)))
                    }
                }
            }
        });
        self.within(self.deadline * requests, make(Client::new(each, namespace))).await
    }

    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn within<T, E>(&self, time: Duration, request: impl Future<Output = Result<T, E>>) -> Result<T, PromptError>
    where
        PromptError: From<E>,
    {
        match timeout(time, request).await {
            Ok(answer) => answer.map_err(PromptError::from),
            Err(_) => Err(self.timed_out(time)),
        }
    }

    fn timed_out(&self, after: Duration) -> PromptError {
        self.reconnect();
        PromptError::Unavailable(format!("nothing within {:.1} s", after.as_secs_f64()))
    }

    /// Replaces the connection after a request that hung, since the connection may be dead.
    fn reconnect(&self) {
        match (self.connect)() {
            Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => {
                tracing::warn!(error = cause(&error), "failed to create a new client of the hub; keeping the old one")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use k8s_openapi::api::coordination::v1::Lease;
    use kube::Api;
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// Serves TLS with the self-signed certificate `signed`.
    async fn serve(listener: TcpListener, signed: rcgen::CertifiedKey<rcgen::KeyPair>) {
        let chain = vec![CertificateDer::from_pem_slice(signed.cert.pem().as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(signed.signing_key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = tls.accept(stream).await;
        }
    }

    #[tokio::test]
    async fn hub_with_another_ca_is_untrusted_but_not_a_dead_one() {
        let made = || rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (trusted, used) = (made(), made());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut config = Config::new(format!("https://{}", listener.local_addr().unwrap()).parse().unwrap());
        config.root_cert = Some(vec![trusted.cert.der().to_vec()]);
        let client = PromptClient::new(config.clone(), PROMPT_TIMEOUT).unwrap();
        let ask = || client.ask(async |client| Api::<Lease>::namespaced(client, "default").get("x").await);
        let answer = tokio::select! {
            () = serve(listener, used) => panic!("it ended"),
            answer = ask() => answer,
        };
        assert!(matches!(answer, Err(PromptError::Untrusted(_))), "{answer:?}");
        // Nothing listens there any more.
        assert!(matches!(ask().await, Err(PromptError::Unavailable(_))));
    }
}
