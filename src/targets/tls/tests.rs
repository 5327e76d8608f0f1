use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription as Alert, CertificateError};

use super::verifier::verifier;
use super::*;

const HOST: &str = "c1:6443";

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

/// The certificate for `names`, signed by itself.
fn self_signed(names: &[&str], is_ca: IsCa) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    params.is_ca = is_ca;
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

/// The message for a server that shows this certificate, or `None` if it is accepted as `c1`.
fn refusal(trust: &Trust, shown: &CertificateDer<'static>) -> Option<String> {
    let name = ServerName::try_from("c1").unwrap();
    let refused = verifier(trust, false).unwrap().verify_server_cert(shown, &[], &name, &[], now()).err()?;
    Some(handshake_failure(HOST, trust, &std::io::Error::other(refused)).message)
}

fn trust(certificate: &CertificateDer<'static>) -> Trust {
    Trust::Roots([certificate.clone()].into())
}

#[test]
fn certificate_without_san_differs_from_a_name_mismatch() {
    let without = self_signed(&[], IsCa::NoCa);
    let message = refusal(&trust(&without), &without).unwrap();
    assert!(message.contains("has no subjectAltName"), "{message}");
    let other = self_signed(&["c2"], IsCa::NoCa);
    let message = refusal(&trust(&other), &other).unwrap();
    assert!(message.contains("is for another name"), "{message}");
}

#[test]
fn trusted_certificate_itself_is_accepted_even_a_ca() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let shown = self_signed(&["c1"], is_ca);
        assert_eq!(refusal(&trust(&shown), &shown), None);
    }
}

#[test]
fn trusted_certificate_expires_all_the_same() {
    let mut params = CertificateParams::new(vec!["c1".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    let shown = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    let message = refusal(&trust(&shown), &shown).unwrap();
    assert!(message.contains("has expired"), "{message}");
}

#[test]
fn untrusted_certificate_names_whose_trust_it_lacks() {
    let (trusted, shown) = (self_signed(&["c1"], IsCa::NoCa), self_signed(&["c1"], IsCa::NoCa));
    let system = Trust::System([trusted.clone()].into());
    for (trust, words) in [
        (trust(&trusted), "by the CA in the kubeconfig"),
        (system, "by a CA of this system, and the kubeconfig has none"),
        (Trust::Public, "by a public CA, and the kubeconfig has none"),
    ] {
        let message = refusal(&trust, &shown).unwrap();
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(refusal(&Trust::Anyone, &shown), None);
    let ca = self_signed(&["c1"], IsCa::Ca(BasicConstraints::Unconstrained));
    let message = refusal(&trust(&trusted), &ca).unwrap();
    assert!(message.contains("is a CA's own"), "{message}");
}

#[test]
fn unsupported_tls_does_not_blame_the_client_certificate() {
    for alert in [Alert::HandshakeFailure, Alert::ProtocolVersion] {
        let message = tls_failure(HOST, &rustls::Error::AlertReceived(alert)).message;
        assert!(message.contains("1.2 with ECDHE") && !message.contains("client certificate"), "{message}");
    }
    let message = tls_failure(HOST, &rustls::Error::AlertReceived(Alert::CertificateExpired)).message;
    assert!(message.contains("client certificate"), "{message}");
}

/// Files made with OpenSSL, which rcgen and ring can't make; `pki/make.sh` has the commands.
mod openssl {
    use super::*;

    macro_rules! pem {
        ($name:literal) => {
            include_str!(concat!("pki/", $name))
        };
    }

    fn der(pem: &str) -> CertificateDer<'static> {
        pem::certificates(pem.as_bytes()).remove(0).unwrap()
    }

    fn identity_of(chain: &str, key: &str) -> Result<(), String> {
        identity(vec![der(chain)], &key.into()).map(|_| ()).map_err(|failure| failure.message)
    }

    #[test]
    fn client_keys_as_people_have_them_are_taken() {
        for (what, chain, key) in [
            ("X.509 version 1", pem!("client-v1.crt"), pem!("client-rsa.key")),
            ("PKCS #1 under the label of PKCS #8", pem!("client-rsa.crt"), pem!("client-rsa.mislabelled.key")),
            ("P-521 in SEC 1", pem!("client-p521.crt"), pem!("client-p521.key")),
            ("P-256 without the public part", pem!("client-p256.crt"), pem!("client-p256.no-public.key")),
        ] {
            assert_eq!(identity_of(chain, key), Ok(()), "{what}");
        }
    }

    #[test]
    fn client_keys_that_do_not_work_are_named() {
        let message = identity_of(pem!("client-rsa-1024.crt"), pem!("client-rsa-1024.key")).unwrap_err();
        assert!(message.contains("client-key-data is an RSA key of 1024 bits"), "{message}");
        let message = identity_of(pem!("client-v1.crt"), pem!("client-p521.key")).unwrap_err();
        assert!(message.contains("client-key-data does not fit"), "{message}");
    }

    #[test]
    fn server_signed_with_p521_is_verified() {
        let (ca, server) = (der(pem!("ca-p521.crt")), der(pem!("server-by-p521.crt")));
        assert_eq!(refusal(&trust(&ca), &server), None);
    }

    #[test]
    fn server_with_a_small_rsa_key_is_named() {
        let shown = der(pem!("server-rsa-1024.crt"));
        let error = verifier::explained(CertificateError::BadSignature.into(), &shown);
        let message = handshake_failure(HOST, &Trust::Public, &std::io::Error::other(error)).message;
        assert!(message.contains("has an RSA key of 1024 bits"), "{message}");
    }
}
