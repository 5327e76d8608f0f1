//! Imports clusters from Argo CD's cluster Secrets, whose `config` is JSON.
//! <https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#clusters>

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::hub_side::kubeconfig;
use super::identities::{self, Plugin};
use super::import::{Found, SignIn};
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
    aws_auth_config: Option<AwsAuth>,
    exec_provider_config: Option<Plugin>,
    proxy_url: Option<String>,
}

/// <https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#eks>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AwsAuth {
    cluster_name: String,
    #[serde(rename = "roleARN")]
    role_arn: Option<String>,
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
    let sign_in = if server.starts_with(HUB) || server == hub.server.trim_end_matches('/') {
        Err("this is the hub itself".into())
    } else {
        translated(&name, &server, &text("config"))
    };
    let labels: BTreeMap<String, String> =
        secret.labels().iter().filter(|(key, _)| *key != LABEL).map(|(k, v)| (k.clone(), v.clone())).collect();
    let from = format!("Secret {}/{}", secret.namespace().unwrap_or_default(), secret.name_any());
    Found { from, name, server, labels, secret: None, sign_in }
}

/// Converts to a kubeconfig or to `spec.access`, or names the field of Argo CD that can't be converted.
fn translated(name: &str, server: &str, config: &str) -> Result<SignIn, CliError> {
    // serde's message is omitted: it quotes the offending value, which may be a credential.
    let config: Config = serde_json::from_str(config).map_err(|_| "config is not the JSON that Argo CD expects")?;
    let tls = config.tls_client_config.unwrap_or_default();
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    for (is_given, field, why) in [
        (tls.insecure, "tlsClientConfig.insecure", "the credential would go to whoever answers; give caData instead"),
        (is_set(&config.username), "username", "basic authentication; run ksit target add"),
    ] {
        if is_given {
            return Err(format!("{field} is not accepted: {why}").into());
        }
    }
    let identity = match (config.aws_auth_config, config.exec_provider_config) {
        (Some(aws), _) => Some(
            identities::eks(server, &aws.cluster_name, None, aws.role_arn.as_deref())
                .map_err(|why| format!("awsAuthConfig is not accepted: {why}"))?,
        ),
        (None, Some(plugin)) => Some(
            identities::of_plugin(&plugin, server)
                .map_err(|why| format!("execProviderConfig is not accepted: {why}"))?,
        ),
        (None, None) => None,
    };
    if let Some(identity) = identity {
        let mut access = non_empty(&[
            ("server", Some(server.to_owned())),
            ("certificateAuthorityData", tls.ca_data),
            ("tlsServerName", tls.server_name),
            ("proxyURL", config.proxy_url),
        ]);
        access.extend(identity);
        return Ok(SignIn::Access(access.into()));
    }
    let cluster = non_empty(&[
        ("server", Some(server.to_owned())),
        ("certificate-authority-data", tls.ca_data),
        ("tls-server-name", tls.server_name),
        ("proxy-url", config.proxy_url),
    ]);
    let user = non_empty(&[
        ("token", config.bearer_token),
        ("client-certificate-data", tls.cert_data),
        ("client-key-data", tls.key_data),
    ]);
    Ok(SignIn::Kubeconfig(kubeconfig(name, &cluster.into(), &user.into())))
}

/// The values that are set.
fn non_empty(pairs: &[(&str, Option<String>)]) -> Map<String, Value> {
    let set = pairs.iter().filter_map(|(key, value)| Some(((*key).to_owned(), json!(value.as_ref()?))));
    set.filter(|(_, value)| value != "").collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn config_is_converted_to_a_kubeconfig() {
        let config = r#"{"bearerToken":"t","tlsClientConfig":{"insecure":false,"caData":"Y2E=","serverName":"a.b"},
            "disableCompression":true}"#;
        let SignIn::Kubeconfig(text) = translated("one", "https://one:6443", config).unwrap() else { panic!() };
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
            (r#"{"awsAuthConfig":{"clusterName":"s3cret"}}"#, "region"),
            (r#"{"tlsClientConfig":{"insecure":true}}"#, "tlsClientConfig.insecure"),
            (r#"{"username":"admin","password":"s3cret"}"#, "username"),
            (r#"{"bearerToken":["s3cret"]}"#, "config is not the JSON"),
            ("", "config is not the JSON"),
        ] {
            let error = translated("one", "https://one", config).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("s3cret"), "{config}: {error}");
        }
    }

    #[test]
    fn identities_of_clouds_become_access() {
        let server = "https://ABC.gr7.eu-west-1.eks.amazonaws.com";
        for (config, identity) in [
            (
                r#"{"awsAuthConfig":{"clusterName":"prod","roleARN":"arn:aws:iam::123456789012:role/argo"},
                    "tlsClientConfig":{"caData":"Y2E="}}"#,
                json!({"eks": {"clusterName": "prod", "region": "eu-west-1", "roleARN": "arn:aws:iam::123456789012:role/argo"}}),
            ),
            (
                r#"{"execProviderConfig":{"command":"argocd-k8s-auth","args":["gcp"],"apiVersion":"client.authentication.k8s.io/v1beta1"},
                    "tlsClientConfig":{"caData":"Y2E="}}"#,
                json!({"gke": {}}),
            ),
        ] {
            let SignIn::Access(access) = translated("one", server, config).unwrap() else { panic!("{config}") };
            let mut wanted = json!({"server": server, "certificateAuthorityData": "Y2E="});
            wanted.as_object_mut().unwrap().extend(identity.as_object().unwrap().clone());
            assert_eq!(access, wanted);
        }
    }
}
