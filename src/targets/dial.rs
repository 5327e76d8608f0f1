//! From a [`Connection`] to an encrypted stream.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::ExposeSecret;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::Policy;
use super::connection::{Connection, Credential};
use crate::domain::reason::{Failure, Reason};

/// The TLS side of a connection, made once for each credential.
pub(super) fn tls(connection: &Connection) -> Result<Arc<ClientConfig>, Failure> {
    let provider = Arc::new(ring::default_provider());
    let bad = |what: &str| Failure::new(Reason::KubeconfigInvalid, format!("{what} can't be used for TLS"));
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| bad("this build"))?;
    let builder = if connection.skip_verification {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification(provider)))
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in &connection.ca {
            roots.add(certificate.clone()).map_err(|_| bad("certificate-authority-data"))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| bad("certificate-authority-data"))?;
        builder.with_webpki_verifier(verifier)
    };
    let mut config = match &connection.credential {
        Credential::Token(_) => builder.with_no_client_auth(),
        Credential::Certificate { chain, key } => {
            let key =
                PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| bad("client-key-data"))?;
            builder.with_client_auth_cert(chain.clone(), key).map_err(|_| bad("client-certificate-data"))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // One connection a target: there is nobody to resume for, and a cache for each would be memory.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Dials the target. The deadline is the caller's.
pub(super) async fn dial(
    connection: &Connection,
    tls: Arc<ClientConfig>,
    policy: &Policy,
) -> Result<TlsStream<TcpStream>, Failure> {
    let server = connection.server();
    let stream = connect(connection, policy).await?;
    let _ = stream.set_nodelay(true);
    TlsConnector::from(tls)
        .connect(connection.server_name.clone(), stream)
        .await
        .map_err(|error| tls_failure(&error, &server))
}

async fn connect(connection: &Connection, policy: &Policy) -> Result<TcpStream, Failure> {
    let server = connection.server();
    let unresolved = || Failure::new(Reason::NameNotResolved, format!("{} does not resolve", connection.host));
    let found = lookup_host((connection.host.as_str(), connection.port)).await.map_err(|_| unresolved())?;
    let addresses: Vec<SocketAddr> = found.collect();
    // A name may resolve to a good address when it is vetted and to a bad one now: all are asked, each time.
    if let Some(why) = addresses.iter().find_map(|address| policy.refuses(address.ip())) {
        return Err(Failure::new(Reason::AddressRefused, format!("{} resolves to {why}", connection.host)));
    }
    if addresses.is_empty() {
        return Err(unresolved());
    }
    TcpStream::connect(addresses.as_slice()).await.map_err(|error| {
        let how = match error.kind() {
            io::ErrorKind::ConnectionRefused => "refuses connections: is its API server running?",
            io::ErrorKind::TimedOut => "does not answer: is it running, and may ksit's network reach it?",
            _ => "can't be connected to: is it running, and may ksit's network reach it?",
        };
        Failure::new(Reason::ConnectFailed, format!("{server} {how}"))
    })
}

fn tls_failure(error: &io::Error, server: &str) -> Failure {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (reason, how) = match cause {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => (
                Reason::CertificateExpired,
                "shows a certificate that is not valid now: renew it there, or look at the clocks",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                Reason::CertificateNameMismatch,
                "shows a certificate for another name: set tls-server-name in the kubeconfig, or mend server",
            ),
            _ => (
                Reason::CertificateUnknown,
                "shows a certificate that is not signed by certificate-authority-data of the kubeconfig: renew the kubeconfig",
            ),
        },
        // The server did not like our certificate.
        Some(rustls::Error::AlertReceived(_)) => (Reason::TlsFailed, "ended the TLS handshake"),
        _ => (Reason::TlsFailed, "broke the TLS handshake: is it an HTTPS server?"),
    };
    Failure::new(reason, format!("{server} {how}"))
}

/// For `insecure-skip-tls-verify` of a user's own kubeconfig: signatures are checked, the certificate is not.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
