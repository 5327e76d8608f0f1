//! Builds self-contained kubeconfigs for a control plane.

use serde_json::{Value, json};

use crate::pki::Identity;

/// Credential of a user.
pub enum Credential<'a> {
    /// A client certificate.
    Certificate(&'a Identity),
    /// A bearer token.
    Token(&'a str),
}

/// A kubeconfig as JSON, which is YAML too.
pub fn kubeconfig(name: &str, server: &str, ca_pem: &str, credential: Credential<'_>) -> String {
    let user: Value = match credential {
        Credential::Token(token) => json!({ "token": token }),
        Credential::Certificate(identity) => json!({
            "client-certificate-data": base64(identity.cert.as_bytes()),
            "client-key-data": base64(identity.key.as_bytes()),
        }),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "clusters": [{
            "name": name,
            "cluster": { "server": server, "certificate-authority-data": base64(ca_pem.as_bytes()) },
        }],
        "users": [{ "name": name, "user": user }],
    });
    format!("{config:#}\n")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
