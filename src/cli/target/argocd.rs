//! Imports clusters from Argo CD's cluster Secrets, whose `config` is JSON.
//! <https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#clusters>

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::hub_side::kubeconfig;
use super::import::Found;
use crate::cli::CliError;
use crate::cli::hub::Hub;

const LABEL: &str = "argocd.argoproj.io/secret-type";

/// The address by which Argo CD, running on the hub, refers to the hub.
const HUB: &str = "https://kubernetes.default.svc";

/// `config`. Fields omitted here don't affect the connection.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    username: Option<String>,
    bearer_token: Option<String>,
    tls_client_config: Option<Tls>,
    aws_auth_config: Option<Value>,
    exec_provider_config: Option<Value>,
    proxy_url: Option<String>,
}

/// Data fields are base64-encoded PEM, as in a kubeconfig.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tls {
    insecure: bool,
    server_name: Option<String>,
    cert_data: Option<String>,
    key_data: Option<String>,
    ca_data: Option<String>,
}

pub(super) async fn clusters(hub: &Hub, namespace: &str) -> Result<Vec<Found>, CliError> {
    let api: Api<Secret> = Api::namespaced(hub.client.clone(), namespace);
    let secrets = api.list(&ListParams::default().labels(&format!("{LABEL}=cluster"))).await;
    let secrets = secrets.map_err(|error| hub.fault(&error))?;
    if secrets.items.is_empty() {
        return Err(format!(
            "no Secret labelled {LABEL}=cluster in namespace {namespace}: set their namespace with --argocd-namespace"
        )
        .into());
    }
    Ok(secrets.into_iter().map(|secret| found(&secret, hub)).collect())
}

fn found(secret: &Secret, hub: &Hub) -> Found {
    let text = |key: &str| {
        let value = secret.data.as_ref().and_then(|data| data.get(key));
        value.map(|value| String::from_utf8_lossy(&value.0).into_owned()).unwrap_or_default()
    };
    let server = text("server").trim_end_matches('/').to_owned();
    let name = Some(text("name")).filter(|name| !name.is_empty()).unwrap_or_else(|| secret.name_any());
    let kubeconfig = if server.starts_with(HUB) || server == hub.server.trim_end_matches('/') {
        Err("this is the hub itself".into())
    } else {
        translated(&name, &server, &text("config"))
    };
    let labels: BTreeMap<String, String> =
        secret.labels().iter().filter(|(key, _)| *key != LABEL).map(|(k, v)| (k.clone(), v.clone())).collect();
    let from = format!("Secret {}/{}", secret.namespace().unwrap_or_default(), secret.name_any());
    Found { from, name, server, labels, secret: None, kubeconfig }
}

/// Converts to a kubeconfig, or names the field of Argo CD that can't be converted.
fn translated(name: &str, server: &str, config: &str) -> Result<SecretString, CliError> {
    // serde's message is omitted: it quotes the offending value, which may be a credential.
    let config: Config = serde_json::from_str(config).map_err(|_| "config is not the JSON that Argo CD expects")?;
    let tls = config.tls_client_config.unwrap_or_default();
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    for (is_given, field, why) in [
        (config.exec_provider_config.is_some(), "execProviderConfig", "ksit runs no programs; run ksit target add"),
        (config.aws_auth_config.is_some(), "awsAuthConfig", "ksit does not assume AWS roles; run ksit target add"),
        (tls.insecure, "tlsClientConfig.insecure", "the credential would go to whoever answers; give caData instead"),
        (is_set(&config.username), "username", "basic authentication; run ksit target add"),
        (is_set(&config.proxy_url), "proxyUrl", "ksit dials clusters directly"),
    ] {
        if is_given {
            return Err(format!("{field} is not accepted: {why}").into());
        }
    }
    let non_empty = |pairs: [(&str, Option<String>); 3]| -> Value {
        let set = pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
        set.filter(|(_, value)| value != "").collect::<Map<_, _>>().into()
    };
    let cluster = non_empty([
        ("server", Some(server.to_owned())),
        ("certificate-authority-data", tls.ca_data),
        ("tls-server-name", tls.server_name),
    ]);
    let user = non_empty([
        ("token", config.bearer_token),
        ("client-certificate-data", tls.cert_data),
        ("client-key-data", tls.key_data),
    ]);
    Ok(kubeconfig(name, &cluster, &user))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn config_is_converted_to_a_kubeconfig() {
        let config = r#"{"bearerToken":"t","tlsClientConfig":{"insecure":false,"caData":"Y2E=","serverName":"a.b"},
            "disableCompression":true}"#;
        let text = translated("one", "https://one:6443", config).unwrap();
        let file: Value = serde_json::from_str(text.expose_secret()).unwrap();
        assert_eq!(
            file["clusters"][0]["cluster"],
            json!({ "server": "https://one:6443", "certificate-authority-data": "Y2E=", "tls-server-name": "a.b" })
        );
        assert_eq!(file["users"][0]["user"], json!({ "token": "t" }));
    }

    #[test]
    fn unsupported_fields_are_named_and_values_never_shown() {
        for (config, words) in [
            (r#"{"execProviderConfig":{"command":"s3cret"}}"#, "execProviderConfig"),
            (r#"{"awsAuthConfig":{"clusterName":"s3cret"}}"#, "awsAuthConfig"),
            (r#"{"tlsClientConfig":{"insecure":true}}"#, "tlsClientConfig.insecure"),
            (r#"{"username":"admin","password":"s3cret"}"#, "username"),
            (r#"{"proxyUrl":"http://s3cret"}"#, "proxyUrl"),
            (r#"{"bearerToken":["s3cret"]}"#, "config is not the JSON"),
            ("", "config is not the JSON"),
        ] {
            let error = translated("one", "https://one", config).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("s3cret"), "{config}: {error}");
        }
    }
}
