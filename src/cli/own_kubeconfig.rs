//! A user's own kubeconfig, trusted as kubectl trusts it: kube reads its files and runs its plugins.

use http::{Request, Response};
use kube::Config;
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::ExposeSecret;
use tower::{Layer, ServiceExt, service_fn};

use crate::domain::reason::{Failure, Reason};
use crate::targets::{Connection, Credential};

/// How `context` is reached.
pub(super) async fn connection(context: &str, kubeconfig: &Kubeconfig) -> Result<Connection, Failure> {
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options)
        .await
        .map_err(|error| invalid(format!("context {context}: {error}")))?;
    if config.proxy_url.is_some() {
        return Err(invalid(format!("context {context}: proxy-url is not supported")));
    }
    let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = config.tls_server_name.clone().unwrap_or_else(|| host.clone());
    let ca: Vec<CertificateDer<'static>> =
        config.root_cert.iter().flatten().map(|der| CertificateDer::from(der.clone())).collect();
    if ca.is_empty() && !config.accept_invalid_certs {
        return Err(invalid(format!("context {context}: certificate-authority is missing")));
    }
    Ok(Connection {
        port: config.cluster_url.port_u16().unwrap_or(443),
        path: config.cluster_url.path().trim_end_matches('/').to_owned(),
        ca,
        server_name: ServerName::try_from(name)
            .map_err(|_| invalid(format!("context {context}: server names no host")))?,
        credential: credential(context, &config).await?,
        skip_verification: config.accept_invalid_certs,
        host,
    })
}

async fn credential(context: &str, config: &Config) -> Result<Credential, Failure> {
    let auth = &config.auth_info;
    if let (Some(chain), Some(key)) = (pem(&auth.client_certificate_data), auth.client_key_data.as_ref()) {
        let key = pem(&Some(key.expose_secret().to_owned())).unwrap_or_default();
        return Credential::certificate(&chain, &key).map_err(|field| invalid(format!("context {context}: {field}")));
    }
    if let (Some(chain), Some(key)) = (&auth.client_certificate, &auth.client_key) {
        let read =
            |path: &String| std::fs::read(path).map_err(|error| invalid(format!("context {context}: {path}: {error}")));
        return Credential::certificate(&read(chain)?, &read(key)?)
            .map_err(|field| invalid(format!("context {context}: {field}")));
    }
    let token = bearer_token(config).await.map_err(|error| invalid(format!("context {context}: {error}")))?;
    token
        .map(|token| Credential::Token(token.into()))
        .ok_or_else(|| invalid(format!("context {context}: the user has neither a token nor a client certificate")))
}

/// Lets kube authenticate a request that goes nowhere, and takes the token off it: so tokens from files, plugins and
/// providers all come the same way.
async fn bearer_token(config: &Config) -> Result<Option<String>, Box<dyn std::error::Error + Send + Sync>> {
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

fn pem(data: &Option<String>) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(data.as_ref()?).ok()
}

fn invalid(message: String) -> Failure {
    Failure::new(Reason::KubeconfigInvalid, message)
}
