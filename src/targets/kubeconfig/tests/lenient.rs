//! Kubeconfigs as people have them, which kubectl takes too.

use super::*;

#[test]
fn kubeconfig_without_a_ca_trusts_public_ones_and_notes_it() {
    let connection = vet(config("server: 'https://c1'", "token: t").as_bytes(), &Policy::default()).unwrap();
    assert!(connection.note().unwrap().contains("verified with public CAs"));
}

#[test]
fn unusable_certificate_of_a_bundle_is_skipped_and_noted() {
    let good = String::from_utf8(STANDARD.decode(pki().ca).unwrap()).unwrap();
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let vetted = |bundle: &str| {
        let cluster = format!("server: 'https://c1', certificate-authority-data: {}", STANDARD.encode(bundle));
        vet(config(&cluster, "token: t").as_bytes(), &Policy::default()).unwrap().note().map(str::to_owned)
    };
    assert_eq!(vetted(&good), None);
    let note = vetted(&format!("{good}{bad}{good}")).unwrap();
    assert!(note.starts_with("certificate 2 of certificate-authority-data can't be used"), "{note}");
}

#[test]
fn yaml_that_kubectl_reads_is_read() {
    let ca = pki().ca;
    let good = config(&format!("server: 'https://c1', certificate-authority-data: {ca}"), "token: t");
    for file in [
        format!("{good}---\n"),
        format!("{good}...\n---\n"),
        good.replace("current-context: x", "current-context: y\ncurrent-context: x"),
    ] {
        assert!(vet(file.as_bytes(), &Policy::default()).is_ok(), "{file}");
    }
    let twice = good.replace("users: [", "users: [{name: u, user: {token: u}}, ");
    let refused = vet(twice.as_bytes(), &Policy::default()).unwrap_err().message;
    assert_eq!(refused, "users has two entries of the name that the context gives; keep one");
}
