//! A kubeconfig from a stranger, made into a [`Connection`] or refused with the field that is at fault.
//!
//! What ksit knows how to use is taken over by name; everything that would run a program, read a file, or weaken
//! TLS is refused by name; the rest is ignored and goes nowhere. No value of the file is ever in a message.

use std::net::IpAddr;

use base64::Engine as _;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::address::Policy;
use super::connection::{Connection, Credential, certificates};
use crate::domain::reason::{Failure, Reason};

/// Larger than any kubeconfig of one cluster, and small enough to parse without thought.
const LARGEST: usize = 128 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    current_context: Option<String>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    #[serde(default)]
    certificate_authority_data: Option<String>,
    #[serde(default)]
    certificate_authority: Option<IgnoredAny>,
    #[serde(default)]
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: Option<bool>,
    #[serde(default)]
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<IgnoredAny>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    client_certificate: Option<IgnoredAny>,
    client_key: Option<IgnoredAny>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    username: Option<IgnoredAny>,
    password: Option<IgnoredAny>,
    #[serde(rename = "as")]
    as_user: Option<IgnoredAny>,
    as_uid: Option<IgnoredAny>,
    as_groups: Option<IgnoredAny>,
    as_user_extra: Option<IgnoredAny>,
}

/// Takes from `bytes` what is needed to reach its current context's cluster.
pub fn vet(bytes: &[u8], policy: &Policy) -> Result<Connection, Failure> {
    if bytes.len() > LARGEST {
        return Err(invalid(format!("the kubeconfig is larger than {} KiB", LARGEST / 1024)));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("the kubeconfig is not text"))?;
    // The parser's own message quotes the file.
    let file: File = serde_saphyr::from_str(text)
        .map_err(|_| invalid("the kubeconfig is not one YAML document with contexts, clusters and users"))?;
    let (cluster, user) = pick(&file)?;
    refuse_cluster(cluster)?;
    refuse_user(user)?;
    let (host, port, path) = server(&cluster.server)?;
    let ca = cluster.certificate_authority_data.as_deref().ok_or_else(|| {
        refused("clusters[].cluster.certificate-authority-data is missing: ksit trusts no cluster without its CA")
    })?;
    let ca = decode(ca)
        .and_then(|pem| certificates(&pem))
        .ok_or_else(|| invalid("clusters[].cluster.certificate-authority-data is not base64 of PEM certificates"))?;
    check_host(&host, policy)?;
    let name = cluster.tls_server_name.as_deref().unwrap_or(&host).to_owned();
    let server_name = ServerName::try_from(name).map_err(|_| {
        invalid("clusters[].cluster.tls-server-name (or the host of server) is not a DNS name or address")
    })?;
    Ok(Connection { host, port, path, ca, server_name, credential: credential(user)?, skip_verification: false })
}

fn pick(file: &File) -> Result<(&Cluster, &User), Failure> {
    let context = match (file.current_context.as_deref().filter(|name| !name.is_empty()), file.contexts.as_slice()) {
        (Some(wanted), all) => all.iter().find(|context| context.name == wanted),
        (None, [only]) => Some(only),
        (None, _) => return Err(invalid("current-context is missing, and there is not just one context")),
    };
    let context = &context.ok_or_else(|| invalid("current-context names no entry of contexts"))?.context;
    let cluster = file
        .clusters
        .iter()
        .find(|cluster| cluster.name == context.cluster)
        .ok_or_else(|| invalid("contexts[].context.cluster names no entry of clusters"))?;
    let user = file
        .users
        .iter()
        .find(|user| user.name == context.user)
        .ok_or_else(|| invalid("contexts[].context.user names no entry of users"))?;
    Ok((&cluster.cluster, &user.user))
}

fn refuse_cluster(cluster: &Cluster) -> Result<(), Failure> {
    let inline = "ksit reads no files of a kubeconfig: put the content into certificate-authority-data";
    if cluster.certificate_authority.is_some() {
        return Err(refused(format!("clusters[].cluster.certificate-authority: {inline}")));
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err(refused(
            "clusters[].cluster.insecure-skip-tls-verify: give the CA in certificate-authority-data instead",
        ));
    }
    if cluster.proxy_url.as_deref().is_some_and(|url| !url.is_empty()) {
        return Err(refused("clusters[].cluster.proxy-url: ksit dials clusters directly"));
    }
    Ok(())
}

fn refuse_user(user: &User) -> Result<(), Failure> {
    let rows = [
        (
            &user.exec,
            "exec",
            "ksit runs no program of a kubeconfig (EKS, GKE and AKS write such): `ksit target add` \
            makes a ServiceAccount on the cluster and stores its token",
        ),
        (
            &user.auth_provider,
            "auth-provider",
            "ksit runs no auth provider: `ksit target add` makes a ServiceAccount \
            on the cluster and stores its token",
        ),
        (&user.token_file, "tokenFile", "ksit reads no files of a kubeconfig: put the token into token"),
        (
            &user.client_certificate,
            "client-certificate",
            "ksit reads no files of a kubeconfig: put the content into \
            client-certificate-data",
        ),
        (&user.client_key, "client-key", "ksit reads no files of a kubeconfig: put the content into client-key-data"),
        (&user.username, "username", "clusters take no passwords any more: use a token or a client certificate"),
        (&user.password, "password", "clusters take no passwords any more: use a token or a client certificate"),
        (&user.as_user, "as", "ksit impersonates nobody: give it a credential with the rights it needs"),
        (&user.as_uid, "as-uid", "ksit impersonates nobody: give it a credential with the rights it needs"),
        (&user.as_groups, "as-groups", "ksit impersonates nobody: give it a credential with the rights it needs"),
        (
            &user.as_user_extra,
            "as-user-extra",
            "ksit impersonates nobody: give it a credential with the rights it needs",
        ),
    ];
    match rows.into_iter().find(|(value, ..)| value.is_some()) {
        Some((_, field, hint)) => Err(refused(format!("users[].user.{field}: {hint}"))),
        None => Ok(()),
    }
}

fn credential(user: &User) -> Result<Credential, Failure> {
    let token = user.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
    match (token, &user.client_certificate_data, &user.client_key_data) {
        // As kubectl has it: with both, the token is what the server sees first.
        (Some(token), _, _) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Credential::Token(token.to_owned().into()))
        }
        (Some(_), _, _) => Err(invalid("users[].user.token holds characters that no token has")),
        (None, Some(chain), Some(key)) => {
            let decoded = |text: &str, field: &str| {
                decode(text).ok_or_else(|| invalid(format!("users[].user.{field} is not base64")))
            };
            let (chain, key) = (decoded(chain, "client-certificate-data")?, decoded(key, "client-key-data")?);
            Credential::certificate(&chain, &key).map_err(|field| invalid(format!("users[].user.{field} is not PEM")))
        }
        (None, Some(_), None) => Err(invalid("users[].user.client-key-data is missing")),
        (None, None, Some(_)) => Err(invalid("users[].user.client-certificate-data is missing")),
        (None, None, None) => Err(refused(
            "users[].user has neither token nor client-certificate-data: ksit never lends its own credential",
        )),
    }
}

/// Host, port and path of an `https` URL.
fn server(url: &str) -> Result<(String, u16, String), Failure> {
    let field = "clusters[].cluster.server";
    if url.len() >= 7 && url.as_bytes()[..7].eq_ignore_ascii_case(b"http://") {
        return Err(refused(format!("{field} is http://: a credential is sent over TLS only")));
    }
    let uri: hyper::Uri = url.parse().map_err(|_| invalid(format!("{field} is not an https:// URL")))?;
    let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(invalid(format!("{field} is not an https:// URL")));
    };
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(invalid(format!("{field} holds more than host, port and path")));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte)) {
        return Err(invalid(format!("{field} names no host")));
    }
    let port = match authority.port() {
        None => 443,
        Some(port) => port.as_str().parse().map_err(|_| invalid(format!("{field} has no valid port")))?,
    };
    Ok((host, port, uri.path().trim_end_matches('/').to_owned()))
}

fn check_host(host: &str, policy: &Policy) -> Result<(), Failure> {
    let is_localhost = host == "localhost" || host.ends_with(".localhost");
    let address: Option<IpAddr> = match host.parse() {
        Ok(address) => Some(address),
        Err(_) if is_localhost => Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
        Err(_) => None,
    };
    match address.and_then(|address| policy.refuses(address)) {
        Some(why) => Err(Failure::new(Reason::AddressRefused, format!("clusters[].cluster.server is {why}"))),
        None => Ok(()),
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(packed).ok()
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(Reason::KubeconfigInvalid, message)
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Reason::KubeconfigRefused, message)
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
