//! Reads certificates in PEM, and describes what is there instead.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const BEGIN: &str = "-----BEGIN";

/// The certificates of a bundle; `None` for one that is not valid PEM.
pub(super) fn certificates(bundle: &[u8]) -> Vec<Option<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(bundle).map(Result::ok).collect()
}

/// The readable certificates of a bundle, in DER.
///
/// # Errors
/// There is none; a text describes what is there instead, as the rest of a message about its field.
pub fn certificates_of(bundle: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let readable = |der: &CertificateDer<'_>| x509_parser::parse_x509_certificate(der).is_ok();
    let found = certificates(bundle).into_iter().flatten().filter(readable);
    let found: Vec<Vec<u8>> = found.map(|der| der.to_vec()).collect();
    if found.is_empty() { Err(none_found(bundle)) } else { Ok(found) }
}

/// Describes a text without a certificate, as the rest of a message about its field.
pub(super) fn none_found(bundle: &[u8]) -> String {
    let packed: Vec<u8> = bundle.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
    let is_base64_twice = STANDARD.decode(packed).is_ok_and(|inner| inner.starts_with(BEGIN.as_bytes()));
    let text = String::from_utf8_lossy(bundle);
    let hint = if is_base64_twice {
        ": it is base64 twice"
    } else if text.contains("BEGIN TRUSTED CERTIFICATE") {
        ": it is a TRUSTED CERTIFICATE of OpenSSL; convert it with openssl x509"
    } else if x509_parser::parse_x509_certificate(bundle).is_ok() {
        ": it is DER; convert it with openssl x509 -inform der"
    } else {
        ""
    };
    format!("holds no certificate in PEM{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_forms_of_a_certificate_are_named() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let pem = certificate.pem();
        let trusted = pem.replace("BEGIN CERTIFICATE", "BEGIN TRUSTED CERTIFICATE");
        for (bundle, hint) in [
            (STANDARD.encode(&pem).into_bytes(), "PEM: it is base64 twice"),
            (certificate.der().to_vec(), "PEM: it is DER"),
            (trusted.into_bytes(), "PEM: it is a TRUSTED CERTIFICATE"),
            (b"hello".to_vec(), "in PEM"),
        ] {
            let message = none_found(&bundle);
            assert!(message.contains(hint), "{message}");
        }
        assert!(none_found(b"hello").ends_with("in PEM"));
    }

    #[test]
    fn bundle_with_one_bad_certificate_keeps_the_others() {
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
        let bad = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        let read = certificates(format!("{good}{bad}{good}").as_bytes());
        assert_eq!(read.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    }
}
