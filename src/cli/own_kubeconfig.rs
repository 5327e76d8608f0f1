//! A user's own kubeconfig, trusted as kubectl trusts it: kube reads its files and runs its plugins.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use kube::Config;
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret;
use tower::{Layer, ServiceExt, service_fn};

use super::CliError;
use crate::domain::reason::{Failure, Reason};
use crate::targets::{Connection, Credential, Trusted};

/// What kubectl would use, or this file.
pub(super) fn read(file: Option<&Path>) -> Result<Kubeconfig, CliError> {
    let read = match file {
        Some(path) => Kubeconfig::read_from(path).map_err(|error| format!("--kubeconfig: {}: {error}", path.display())),
        None => Kubeconfig::read().map_err(|error| format!("{error}; give --kubeconfig")),
    };
    Ok(read?)
}

/// How `context` is reached.
pub(super) async fn connection(context: &str, kubeconfig: &Kubeconfig) -> Result<Connection, Failure> {
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await.map_err(invalid)?;
    if config.proxy_url.is_some() {
        return Err(invalid("proxy-url is not supported: ksit dials clusters directly"));
    }
    let ca = roots(&config);
    Connection::trusted(Trusted {
        server: &config.cluster_url.to_string(),
        ca: Some(ca.as_bytes()),
        server_name: config.tls_server_name.as_deref(),
        credential: credential(&config).await.map_err(invalid)?,
        insecure: config.accept_invalid_certs,
    })
}

/// As PEM: what the kubeconfig trusts, else what the system trusts.
fn roots(config: &Config) -> String {
    let own = config.root_cert.clone().unwrap_or_default();
    let all = if own.is_empty() {
        rustls_native_certs::load_native_certs().certs.iter().map(|der| der.to_vec()).collect()
    } else {
        own
    };
    all.iter().map(|der| pem(der)).collect()
}

/// A certificate as PEM.
pub(super) fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

async fn credential(config: &Config) -> Result<Credential, CliError> {
    let auth = &config.auth_info;
    let chain = given(auth.client_certificate_data.as_deref(), auth.client_certificate.as_deref())?;
    let key = given(auth.client_key_data.as_ref().map(ExposeSecret::expose_secret), auth.client_key.as_deref())?;
    if let (Some(chain), Some(key)) = (chain, key) {
        return Ok(Credential::ClientCertificate { chain, key: String::from_utf8(key)?.into() });
    }
    let token = bearer_token(config).await?;
    let token = token.ok_or("the user has neither a token nor a client certificate that ksit can use")?;
    Ok(Credential::Token(token.into()))
}

/// What stands in the kubeconfig itself, else in the file that it names.
fn given(data: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>, CliError> {
    match (data, file) {
        (Some(data), _) => Ok(Some(STANDARD.decode(data)?)),
        (None, Some(path)) => Ok(Some(std::fs::read(path).map_err(|error| format!("{path}: {error}"))?)),
        (None, None) => Ok(None),
    }
}

/// Lets kube authenticate a request that goes nowhere, and takes the token off it: so tokens from files, plugins and
/// providers all come the same way.
async fn bearer_token(config: &Config) -> Result<Option<String>, CliError> {
    let Some(layer) = config.auth_layer()? else { return Ok(None) };
    let echo = service_fn(|request: Request<Body>| async move {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = request.headers().clone();
        Ok::<_, tower::BoxError>(response)
    });
    let response = layer.layer(echo).oneshot(Request::new(Body::empty())).await?;
    let header = response.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    Ok(header.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned))
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::KubeconfigInvalid, error.to_string())
}
