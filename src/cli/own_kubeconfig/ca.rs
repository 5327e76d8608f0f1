//! The certificate authority of a kubeconfig.

use kube::config::Cluster;

use super::{inline_or_file, invalid};
use crate::domain::reason::Failure;
use crate::targets::certificates_of;
use crate::targets::kubeconfig::IS_A_VIEW;

/// The trusted certificates in DER, without those that can't be read; `None` if the cluster names none. kubectl, too,
/// skips bad ones, and refuses a bundle without any good one.
pub(super) fn roots(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, Failure> {
    const FIELD: &str = "certificate-authority";
    let data = cluster.certificate_authority_data.as_deref();
    if data == Some("DATA+OMITTED") {
        return Err(invalid(format!("{FIELD}-data {IS_A_VIEW}")));
    }
    let Some(bundle) = inline_or_file(FIELD, data, cluster.certificate_authority.as_deref())? else { return Ok(None) };
    let field = if data.is_some() { "certificate-authority-data" } else { FIELD };
    certificates_of(&bundle).map(Some).map_err(|none| invalid(format!("{field} {none}")))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn bad_certificate_of_a_bundle_is_skipped() {
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
        let bad = "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n";
        let roots = |bundle: &str| {
            let data = Some(STANDARD.encode(bundle));
            super::roots(&Cluster { certificate_authority_data: data, ..Cluster::default() })
        };
        assert_eq!(roots(&format!("{bad}{good}")).unwrap().unwrap().len(), 1);
        assert_eq!(roots("hello").unwrap_err().message, "certificate-authority-data holds no certificate in PEM");
        let twice = roots(&STANDARD.encode(&good)).unwrap_err().message;
        assert!(twice.ends_with("it is base64 twice"), "{twice}");
        assert_eq!(super::roots(&Cluster::default()), Ok(None));
    }
}
