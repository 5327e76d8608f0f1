//! Requests that are never retried and never waited for: for Leases and for the shard map.
//!
//! A renewal that comes late is worse than none, since nobody knows what it was decided from. So each request has its
//! own short deadline, and after one that hung the next goes over a new connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::client::Body;
use kube::{Client, Config};
use rustls::CertificateError;
use tokio::time::timeout;

use super::cause::{NoAnswer, cause};

/// Time for one request, connecting included.
pub const PROMPT_TIMEOUT: Duration = Duration::from_secs(3);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// Somebody else wrote the object since, made it, or deleted it.
    #[error("it changed meanwhile")]
    Conflict,
    #[error("the API server refuses it: {0}")]
    Refused(String),
    /// It may have been done all the same.
    #[error("the hub does not answer: {0}")]
    Unavailable(String),
    #[error("the hub's certificate is not trusted: {0}")]
    Untrusted(String),
}

impl PromptError {
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

/// The fault of the hub's certificate, if `error` comes from one.
fn why_untrusted<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(why);
    }
    // An io::Error shows only the source of the error that it wraps.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let wrapped = wrapped.and_then(|wrapped| why_untrusted(wrapped as &(dyn std::error::Error + 'static)));
    wrapped.or_else(|| error.source().and_then(why_untrusted))
}

type Connect = Arc<dyn Fn() -> Result<Client, kube::Error> + Send + Sync>;

/// A client of its own for what must be prompt. Cheap to clone.
#[derive(Clone)]
pub struct PromptClient {
    connect: Connect,
    client: Arc<Mutex<Client>>,
    /// Of one request.
    deadline: Duration,
}

impl PromptClient {
    pub fn new(mut config: Config, deadline: Duration) -> Result<Self, kube::Error> {
        config.connect_timeout = Some(deadline);
        // Not a read time-out: it would also end a connection that idles from one renewal to the next, at the very
        // moment of the next. The deadline of each request is ours.
        config.read_timeout = None;
        config.default_retry = false;
        Self::connected_by(Arc::new(move || Client::try_from(config.clone())), deadline)
    }

    /// With any way to make a client.
    pub fn connected_by(connect: Connect, deadline: Duration) -> Result<Self, kube::Error> {
        let client = Arc::new(Mutex::new(connect()?));
        Ok(Self { connect, client, deadline })
    }

    /// Makes one request.
    pub async fn ask<T, E>(&self, request: impl AsyncFnOnce(Client) -> Result<T, E>) -> Result<T, PromptError>
    where
        PromptError: From<E>,
    {
        self.within(self.deadline, request(self.client())).await
    }

    /// Makes several requests one after the other, each of which has the deadline of one: a hub that is slow, not
    /// silent, answers them all, and one that is silent holds nobody up for longer than with [`Self::ask`].
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

    async fn within<T, E>(&self, time: Duration, asking: impl Future<Output = Result<T, E>>) -> Result<T, PromptError>
    where
        PromptError: From<E>,
    {
        match timeout(time, asking).await {
            Ok(answer) => answer.map_err(PromptError::from),
            Err(_) => Err(self.late(time)),
        }
    }

    fn late(&self, after: Duration) -> PromptError {
        self.reconnect();
        PromptError::Unavailable(format!("nothing within {:.1} s", after.as_secs_f64()))
    }

    /// After a request that hung: its connection may be as dead as it was.
    fn reconnect(&self) {
        match (self.connect)() {
            Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => tracing::warn!(error = cause(&error), "no new connection to the hub; the old one is kept"),
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

    /// A server whose certificate `signed` signs for itself.
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
    async fn hub_with_another_ca_is_untrusted_and_a_dead_one_is_not() {
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
        // By now nobody listens there.
        assert!(matches!(ask().await, Err(PromptError::Unavailable(_))));
    }
}
