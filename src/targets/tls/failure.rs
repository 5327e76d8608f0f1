//! Messages for handshakes that fail. They never quote the peer.

use rustls::{AlertDescription as Alert, CertificateError as Bad};

use super::Trust;
use super::verifier::Objection;
use crate::domain::reason::{Failure, Reason};

const SUPPORTED: &str = "it needs 1.3, or 1.2 with ECDHE and AES-GCM or ChaCha20";

/// Classifies a failed handshake. `host` is the dialled address.
pub(in crate::targets) fn handshake_failure(host: &str, trust: &Trust, error: &std::io::Error) -> Failure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(bad)) => certificate_failure(host, trust, bad),
        Some(error) => tls_failure(host, error),
        None => failed(format!(
            "{host} ended the connection during the TLS handshake; check that a Kubernetes API server listens there"
        )),
    }
}

fn failed(message: String) -> Failure {
    Failure::new(Reason::TlsFailed, message)
}

/// Classifies an error of a connection whose server has been verified.
pub(in crate::targets) fn tls_failure(host: &str, error: &rustls::Error) -> Failure {
    failed(match error {
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity,
        ) => {
            format!("{host} offers no TLS version and cipher suite that ksit supports; {SUPPORTED}")
        }
        rustls::Error::AlertReceived(_) => format!(
            "{host} broke off the TLS handshake; if the kubeconfig has a client certificate, check that it is still accepted"
        ),
        _ => format!(
            "no TLS handshake with {host}; check that a Kubernetes API server with TLS 1.2 or 1.3 listens there"
        ),
    })
}

fn certificate_failure(host: &str, trust: &Trust, bad: &Bad) -> Failure {
    let objection = match bad {
        Bad::Other(other) => other.0.downcast_ref::<Objection>(),
        _ => None,
    };
    let (reason, what) = match bad {
        Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. } => (
            Reason::CertificateExpired,
            "has expired or is not valid yet; renew it, or set the clocks right".to_owned(),
        ),
        Bad::NotValidForNameContext { presented, .. } if presented.is_empty() => (
            Reason::CertificateNameMismatch,
            "has no subjectAltName; make one with the name or address that the kubeconfig has".to_owned(),
        ),
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => (
            Reason::CertificateNameMismatch,
            "is for another name; use a name or address that stands in it, or set tls-server-name in the kubeconfig"
                .to_owned(),
        ),
        _ => (Reason::CertificateUnknown, distrust(trust, bad, objection)),
    };
    Failure::new(reason, format!("the certificate of {host} {what}"))
}

/// Why a certificate with the right name and dates is not trusted.
fn distrust(trust: &Trust, bad: &Bad, objection: Option<&Objection>) -> String {
    match (objection, bad) {
        (Some(Objection::SmallRsaKey(bits)), _) => {
            format!("has an RSA key of {bits} bits, which ksit does not verify; make one of 2048 bits or more")
        }
        (Some(Objection::IsCa), _) => {
            "is a CA's own, and not the one that is trusted; give the server a certificate of its own, or put this \
             very one into certificate-authority-data"
                .to_owned()
        }
        (None, Bad::UnknownIssuer | Bad::BadSignature) => match trust {
            Trust::System(_) => {
                "is not signed by a CA of this system, and the kubeconfig has none; put the cluster's CA into \
                 certificate-authority-data"
            }
            Trust::Public => {
                "is not signed by a public CA, and the kubeconfig has none; put the cluster's CA into \
                 certificate-authority-data"
            }
            Trust::Roots(_) | Trust::Anyone => {
                "is not signed by the CA in the kubeconfig; put the cluster's present CA into \
                 certificate-authority-data"
            }
        }
        .to_owned(),
        (
            None,
            Bad::UnsupportedSignatureAlgorithmContext { .. }
            | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => "is signed in a way that ksit does not verify; use SHA-256 or better with RSA from 2048 bits, ECDSA or Ed25519"
            .to_owned(),
        (None, _) => {
            "can't be verified; check that it is a server certificate with a subjectAltName, signed by the trusted CA"
                .to_owned()
        }
    }
}
