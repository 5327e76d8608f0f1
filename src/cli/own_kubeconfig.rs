//! Loads the user's own kubeconfig and trusts it as kubectl does: reads its files and runs its plugins.
//!
//! ```text
//! files ─ read ─> Kubeconfig ─ config ─> Config (CA checked) ─ resolve ─> Config with a token or certificate at hand
//! ```
//!
//! Messages name fields and positions. They never quote the file or a plugin's output: both hold credentials.

mod ca;
mod file;
mod plugin;
mod proxy;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use http::{HeaderValue, Request, Response};
use kube::Config;
use kube::client::{Body, ConfigExt};
use kube::config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use tower::{Layer, ServiceExt, service_fn};

use super::CliError;
use crate::domain::reason::{Failure, Reason};
use crate::hub::{cause, of_kubeconfig};
use crate::targets::{Authority, ClientCertificate, Connection, Credential, Trusted};

/// Reads `file`, or the kubeconfig that kubectl would use.
pub(super) fn read(file: Option<&Path>) -> Result<Kubeconfig, CliError> {
    if let Some(path) = file {
        return file::read(path).map_err(|error| format!("--kubeconfig: {error}").into());
    }
    let paths = usual_paths();
    let mut merged: Option<Kubeconfig> = None;
    // As with kubectl, files of the list may be missing.
    for path in paths.iter().filter(|path| path.exists()) {
        let read = file::read(path).map_err(|error| format!("kubeconfig {error}"))?;
        let all = merged.unwrap_or_default().merge(read);
        merged = Some(all.map_err(|error| format!("kubeconfig: {}", of_kubeconfig(&error)))?);
    }
    let list = || paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    merged.ok_or_else(|| format!("no kubeconfig at {}; set --kubeconfig", list()).into())
}

fn usual_paths() -> Vec<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<PathBuf> = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    match std::env::home_dir() {
        Some(home) if listed.is_empty() => vec![home.join(".kube").join("config")],
        _ => listed,
    }
}

/// The configuration of `context`, or of the current one. Reads no token file and runs no plugin.
pub(super) async fn config(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<Config, Failure> {
    let mut file = kubeconfig.clone();
    file.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()).for_each(tidy_cluster);
    file.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()).for_each(tidy_user);
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let name = context.or(file.current_context.as_deref()).unwrap_or_default().to_owned();
    let cluster = cluster_of(&file, &name);
    // kube refuses a whole bundle for one bad certificate.
    let roots = cluster.as_ref().map_or(Ok(None), ca::roots)?;
    if roots.is_some() && cluster.as_ref().is_some_and(|cluster| cluster.insecure_skip_tls_verify == Some(true)) {
        return Err(invalid("insecure-skip-tls-verify and a certificate authority exclude each other; remove one"));
    }
    file.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()).for_each(|cluster| {
        (cluster.certificate_authority, cluster.certificate_authority_data) = (None, None);
    });
    let config = Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.map_err(|error| invalid(of_kubeconfig(&error)))?;
    config.root_cert = roots;
    proxy::choose(&mut config, cluster.as_ref());
    if let Some(token) = &config.auth_info.token {
        checked(token)?;
    }
    Ok(config)
}

fn cluster_of(file: &Kubeconfig, context: &str) -> Option<Cluster> {
    let context = file.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    file.clusters.iter().find(|named| named.name == context.cluster)?.cluster.clone()
}

/// `proxy-url` of the cluster of `context`, if the kubeconfig has one.
pub(super) fn proxy_url(file: &Kubeconfig, context: &str) -> Option<String> {
    cluster_of(file, context)?.proxy_url.filter(|url| !url.is_empty())
}

/// Normalises like client-go: empty fields count as unset, and base64 may have line breaks.
fn tidy_cluster(cluster: &mut Cluster) {
    drop_empty(&mut cluster.certificate_authority);
    drop_empty(&mut cluster.tls_server_name);
    drop_empty(&mut cluster.proxy_url);
    pack(&mut cluster.certificate_authority_data);
}

fn tidy_user(user: &mut AuthInfo) {
    for field in [&mut user.client_certificate, &mut user.client_key, &mut user.token_file] {
        drop_empty(field);
    }
    pack(&mut user.client_certificate_data);
    let mut key = user.client_key_data.as_ref().map(|key| key.expose_secret().to_owned());
    pack(&mut key);
    user.client_key_data = key.map(SecretString::from);
    user.token = user.token.as_ref().and_then(trimmed);
}

fn drop_empty(field: &mut Option<String>) {
    *field = field.take().filter(|text| !text.is_empty());
}

fn pack(field: &mut Option<String>) {
    *field = field.take().map(|text| text.split_ascii_whitespace().collect()).filter(|text: &String| !text.is_empty());
}

/// Strips surrounding white space, which `echo` and editors leave; `None` if nothing remains.
fn trimmed(token: &SecretString) -> Option<SecretString> {
    Some(token.expose_secret().trim()).filter(|token| !token.is_empty()).map(SecretString::from)
}

/// kube panics on a token that is no valid header value.
fn checked(token: &SecretString) -> Result<(), Failure> {
    match HeaderValue::try_from(token.expose_secret()) {
        Ok(_) => Ok(()),
        Err(_) => Err(invalid("token holds characters that can't be sent in a header")),
    }
}

/// Puts the credential into the `Config` itself: reads the token file, or runs the plugin within `timeout`.
pub(super) async fn resolve(mut config: Config, timeout: Duration) -> Result<Config, Failure> {
    let user = &mut config.auth_info;
    if user.auth_provider.is_some() {
        let token = guarded(provided(&config)).await?;
        config.auth_info = AuthInfo { token, auth_provider: None, ..config.auth_info };
    } else if user.token.is_some() || user.token_file.is_some() {
        // They take precedence over a plugin, and a file that can be read over the token beside it.
        user.exec = None;
        let file = user.token_file.take().map(|path| (std::fs::read_to_string(&path), path));
        match file {
            Some((Ok(read), _)) => user.token = trimmed(&SecretString::from(read)),
            Some((Err(error), path)) if user.token.is_none() => {
                return Err(invalid(format!("tokenFile: {path}: {error}")));
            }
            _ => {}
        }
    } else if let Some(exec) = user.exec.take() {
        let plugin::PluginCredential { token, certificate } = plugin::run(&exec, timeout).await.map_err(invalid)?;
        user.token = token.as_ref().and_then(trimmed);
        if let Some((chain, key)) = certificate {
            user.client_certificate_data = Some(STANDARD.encode(chain));
            user.client_key_data = Some(STANDARD.encode(key.expose_secret()).into());
        }
    }
    config.auth_info.token.as_ref().map_or(Ok(()), checked)?;
    Ok(config)
}

/// Turns a library's panic into a failure.
pub(super) async fn guarded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let crashed = |_| Err(invalid("a library crashed while reading it; look for unusual characters in the credential"));
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(crashed)
}

/// The token of an `auth-provider`: lets kube authenticate a request that is never sent, and reads it from there.
async fn provided(config: &Config) -> Result<Option<SecretString>, Failure> {
    let fault = |error: &(dyn std::error::Error + 'static)| invalid(format!("auth-provider: {}", cause(error)));
    let Some(layer) = config.auth_layer().map_err(|error| fault(&error))? else { return Ok(None) };
    let echo = service_fn(|request: Request<Body>| async move {
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = request.headers().clone();
        Ok::<_, tower::BoxError>(response)
    });
    let response = layer.layer(echo).oneshot(Request::new(Body::empty())).await.map_err(|error| fault(&*error))?;
    let header = response.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    Ok(header.and_then(|value| value.strip_prefix("Bearer ")).map(SecretString::from))
}

/// The connection to `context`, with its credential resolved.
pub(super) async fn connection(
    context: &str,
    kubeconfig: &Kubeconfig,
    timeout: Duration,
) -> Result<Connection, Failure> {
    let config = config(kubeconfig, Some(context)).await?;
    if config.auth_info.impersonate.is_some() || config.auth_info.impersonate_groups.is_some() {
        return Err(invalid("as and as-groups are not supported: requests would run with the user's own rights"));
    }
    let config = resolve(config, timeout).await?;
    let ca = match &config.root_cert {
        _ if config.accept_invalid_certs => Authority::Anyone,
        Some(roots) => Authority::Kubeconfig(roots.iter().cloned().map(CertificateDer::from).collect()),
        None => Authority::System(rustls_native_certs::load_native_certs().certs),
    };
    Connection::trusted(Trusted {
        server: &config.cluster_url.to_string(),
        ca,
        server_name: config.tls_server_name.as_deref(),
        proxy: config.proxy_url.as_ref().map(ToString::to_string).as_deref(),
        credential: credential(&config.auth_info)?,
    })
}

/// Encodes a certificate as PEM.
pub(super) fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn credential(user: &AuthInfo) -> Result<Credential, Failure> {
    let chain = inline_or_file(
        "client-certificate",
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
    );
    let key = user.client_key_data.as_ref().map(ExposeSecret::expose_secret);
    let key = inline_or_file("client-key", key, user.client_key.as_deref());
    let certificate = match (chain?, key?) {
        (Some(chain), Some(key)) => {
            let key = String::from_utf8(key).map_err(|_| invalid("client-key-data holds no private key in PEM"))?;
            Some(ClientCertificate { chain, key: key.into() })
        }
        (Some(_), None) => return Err(invalid("client-key-data is missing beside client-certificate-data")),
        (None, Some(_)) => return Err(invalid("client-certificate-data is missing beside client-key-data")),
        (None, None) => None,
    };
    match (&user.token, &certificate) {
        (None, None) if user.username.is_some() || user.password.is_some() => {
            Err(invalid("username and password are not supported; use a token or a client certificate"))
        }
        (None, None) => Err(invalid("the user of the context has no credential; give a token or a client certificate")),
        _ => Ok(Credential { token: user.token.clone(), certificate, ..Credential::default() }),
    }
}

/// The data inlined in the kubeconfig, else the content of the file that it names.
fn inline_or_file(field: &str, data: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>, Failure> {
    let decoded = |data| STANDARD.decode(data).map_err(|_| invalid(format!("{field}-data is not base64")));
    let read = |path| std::fs::read(path).map_err(|error| invalid(format!("{field}: {path}: {error}")));
    data.map(decoded).or_else(|| file.map(read)).transpose()
}

pub(super) fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(Reason::KubeconfigInvalid, message.into())
}
