//! Builds a [`Connection`] from an untrusted kubeconfig, or reports what to change in it.
//!
//! ```text
//! bytes ── parse (bounded) ── pick the context ── refuse ── rebuild from an allow-list ──▶ Connection
//! ```
//!
//! Write access to the Secret must not let anybody make ksit run a program, read a file, send its own token away, or
//! reach an address that only ksit can reach. Messages name fields and the host, and never quote the file.

mod file;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

pub(crate) use super::address::HubAddresses;
pub use super::address::Policy;
use super::connection::{ClientCertificate, Connection, Credential, Route, Server, invalid};
use super::live_token::LiveToken;
pub use super::networks::{AllowedProxies, InvalidRule, ProxyRule, TargetNetworks, TargetRule};
use super::proxy::Proxy;
use super::tls::Trust;
use crate::domain::access::IdentityAccess;
use crate::domain::reason::{Failure, Reason};
use file::{ClusterEntry, File, Given, Hidden, UserEntry};

/// Upper bound of the file. A kubeconfig with a long CA bundle has some 20 KiB.
const MAX_BYTES: usize = 128 * 1024;

/// Checks a kubeconfig and rebuilds the connection that its current context describes.
///
/// # Errors
/// Names the field that is missing, invalid or refused, and the remedy; never its value, except for the host.
pub fn vet(bytes: &[u8], policy: &Policy) -> Result<Connection, Failure> {
    let file = parse(bytes)?;
    let (cluster, user) = pick(file)?;
    refuse_cluster(&cluster)?;
    refuse_user(&user)?;

    let url = cluster
        .server
        .filter(|url| !url.trim().is_empty())
        .ok_or_else(|| invalid("server", "is missing in the cluster of the context; give the URL of its API server"))?;
    let server = Server::parse(&url)?;
    let proxy = text(cluster.proxy_url);
    let proxy = proxy.map(|url| allowed_proxy(url.expose_secret(), policy)).transpose()?;
    if let Some(what) = policy.server_objection(&server.host, proxy.is_none()) {
        return Err(address_refused(&server.host, what));
    }
    let (trust, note) = trust(text(cluster.certificate_authority_data))?;
    let server_name = cluster.tls_server_name.filter(|name| !name.is_empty());
    let route = Route { policy: Some(policy.clone()), proxy };
    let connection = Connection::build(server, server_name.as_deref(), trust, credential(user)?, route)?;
    Ok(connection.with_note(note))
}

/// The trusted CA, and a note about it.
fn trust(data: Option<SecretString>) -> Result<(Trust, Option<String>), Failure> {
    const FIELD: &str = "certificate-authority-data";
    let Some(data) = data else {
        let note = format!("the kubeconfig has no {FIELD}: its certificate is verified with public CAs");
        return Ok((Trust::Public, Some(note)));
    };
    if is_view(&data) {
        return Err(invalid(FIELD, IS_A_VIEW));
    }
    let (trust, unusable) = Trust::roots(&decode(&data, FIELD)?, FIELD)?;
    let note = unusable.first().map(|position| match unusable.len() {
        1 => format!("certificate {position} of {FIELD} can't be used and is skipped"),
        count => format!(
            "{count} certificates of {FIELD}, such as the one at position {position}, can't be used and are skipped"
        ),
    });
    Ok((trust, note))
}

/// The proxy, if the operator of the hub allows it: whoever writes a kubeconfig must not choose where ksit connects.
fn allowed_proxy(url: &str, policy: &Policy) -> Result<Proxy, Failure> {
    let proxy = Proxy::parse(url)?;
    if !policy.proxies.contain(proxy.host(), proxy.port()) {
        let why = format!("{} is not among --allow-proxies of the operator; add it there", proxy.display());
        return Err(refuse("proxy-url", &why));
    }
    match policy.host_objection(proxy.host()) {
        Some(what) => Err(refuse("proxy-url", &format!("{} is {what}", proxy.display()))),
        None => Ok(proxy),
    }
}

/// Whether the value stands for one that `kubectl config view` has left out.
fn is_view(value: &SecretString) -> bool {
    matches!(value.expose_secret(), "DATA+OMITTED" | "DATA OMITTED" | "REDACTED")
}

/// Follows the name of the field in a message.
pub(crate) const IS_A_VIEW: &str =
    "is what kubectl config view shows without --raw; use kubectl config view --minify --flatten --raw";

pub(super) fn address_refused(host: &str, what: &str) -> Failure {
    Failure::new(
        Reason::AddressRefused,
        format!("server {host} is {what}, which ksit does not dial for a target; give the cluster's own address"),
    )
}

fn parse(bytes: &[u8]) -> Result<File, Failure> {
    let bad = |message: String| Failure::new(Reason::KubeconfigInvalid, message);
    if bytes.len() > MAX_BYTES {
        return Err(bad(format!(
            "the kubeconfig has {} bytes, more than the {MAX_BYTES} that ksit reads; keep only the one context (kubectl config view --minify --flatten)",
            bytes.len()
        )));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => bad("the kubeconfig is UTF-16 text; save it as UTF-8".to_owned()),
        _ => bad("the kubeconfig is not UTF-8 text".to_owned()),
    })?;
    let text = without_end_markers(text);
    if text.is_empty() {
        return Err(bad("the kubeconfig is empty".to_owned()));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 20_000,
            max_nodes: 20_000,
            max_aliases: 100,
            max_anchors: 100,
            max_depth: 32,
            max_merge_keys: 100,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
        },
        // Snippets would quote the file, which holds credentials.
        with_snippet: false,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
    };
    // `ksit target` writes JSON, which parses in a tenth of the time of YAML; errors come from the YAML parser.
    let read = serde_json::from_str(text).or_else(|_| serde_saphyr::from_str_with_options(text, options));
    let file: File = read.map_err(|error| match error {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            bad("the kubeconfig holds several YAML documents; keep one".to_owned())
        }
        _ if is_base64(text) => {
            bad("the kubeconfig is base64 once more than it should be: put it in as it is".to_owned())
        }
        // The parser's message quotes the file, so only the line is used.
        error => match error.location().map(|at| at.line()).filter(|line| *line > 0) {
            Some(line) => {
                bad(format!("the kubeconfig can't be read: line {line} is not YAML or not what a kubeconfig has there"))
            }
            None => bad("the kubeconfig can't be read: it is not the YAML of a kubeconfig".to_owned()),
        },
    })?;
    if file.kind.as_deref().is_some_and(|kind| kind != "Config") {
        return Err(bad("the file is not a kubeconfig: its kind is not Config".to_owned()));
    }
    Ok(file)
}

/// The text without document markers at its end, behind which there is no document.
pub(crate) fn without_end_markers(text: &str) -> &str {
    let mut text = text.trim_end();
    while let Some(before) = text.strip_suffix("---").or_else(|| text.strip_suffix("...")) {
        if !(before.is_empty() || before.ends_with('\n')) {
            break;
        }
        text = before.trim_end();
    }
    text
}

/// The cluster and user of the current context, or of the only one.
fn pick(file: File) -> Result<(ClusterEntry, UserEntry), Failure> {
    let contexts = file.contexts.unwrap_or_default();
    let wanted = file.current_context.filter(|name| !name.is_empty());
    let context = match &wanted {
        Some(name) => contexts
            .into_iter()
            .find(|context| context.name.as_deref() == Some(name))
            .ok_or_else(|| invalid("current-context", "names a context that contexts does not have"))?,
        None => {
            let mut contexts = contexts.into_iter();
            match (contexts.next(), contexts.next()) {
                (Some(only), None) => only,
                (None, _) => return Err(invalid("contexts", "is empty; give the context to use")),
                _ => {
                    return Err(invalid(
                        "current-context",
                        "is not set and there are several contexts; set it to the one to use",
                    ));
                }
            }
        }
    };
    let context = context.context.ok_or_else(|| invalid("contexts[].context", "is empty"))?;
    let clusters = file.clusters.unwrap_or_default().into_iter().map(|entry| (entry.name, entry.cluster));
    let users = file.users.unwrap_or_default().into_iter().map(|entry| (entry.name, entry.user));
    let cluster = named(context.cluster, clusters, "contexts[].context.cluster", "clusters")?;
    let user = named(context.user, users, "contexts[].context.user", "users")?;
    Ok((cluster, user))
}

/// The entry with this name.
fn named<T>(
    name: Option<String>,
    entries: impl Iterator<Item = (Option<String>, Option<T>)>,
    field: &str,
    list: &str,
) -> Result<T, Failure> {
    let mut found = entries.filter(|(own, _)| own.is_some() && *own == name);
    let first = found.next().and_then(|(_, entry)| entry);
    if found.next().is_some() {
        return Err(invalid(list, "has two entries of the name that the context gives; keep one"));
    }
    first.ok_or_else(|| invalid(field, &format!("names an entry that {list} does not have")))
}

fn refuse(field: &str, why: &str) -> Failure {
    Failure::new(Reason::KubeconfigRefused, format!("{field} is not accepted: {why}"))
}

fn refuse_all(table: &[(Given, &str, &str)]) -> Result<(), Failure> {
    match table.iter().find(|(given, ..)| given.0) {
        Some((_, field, why)) => Err(refuse(field, why)),
        None => Ok(()),
    }
}

const NO_FILES: &str = "ksit reads no files that a kubeconfig names; put the content into the kubeconfig (kubectl config view --minify --flatten --raw)";
const NO_BASIC: &str = "basic authentication; use a ServiceAccount token: ksit target add makes one";
const NO_IMPERSONATION: &str = "ksit impersonates nobody; give the credential of the account itself";

fn refuse_cluster(cluster: &ClusterEntry) -> Result<(), Failure> {
    refuse_all(&[
        (
            cluster.insecure_skip_tls_verify,
            "insecure-skip-tls-verify",
            "the credential would go to whoever answers; give certificate-authority-data instead",
        ),
        (cluster.certificate_authority, "certificate-authority", NO_FILES),
    ])
}

fn refuse_user(user: &UserEntry) -> Result<(), Failure> {
    refuse_all(&[
        (
            user.exec,
            "exec",
            "ksit runs no programs that a kubeconfig names; run ksit target add, which makes a ServiceAccount token on the target",
        ),
        (
            user.auth_provider,
            "auth-provider",
            "ksit runs no credential plugins; run ksit target add, which makes a ServiceAccount token on the target",
        ),
        (user.token_file, "tokenFile", NO_FILES),
        (user.client_certificate, "client-certificate", NO_FILES),
        (user.client_key, "client-key", NO_FILES),
        (user.username, "username", NO_BASIC),
        (user.password, "password", NO_BASIC),
        (user.impersonate, "as", NO_IMPERSONATION),
        (user.as_groups, "as-groups", NO_IMPERSONATION),
        (user.as_uid, "as-uid", NO_IMPERSONATION),
        (user.as_user_extra, "as-user-extra", NO_IMPERSONATION),
    ])
}

fn credential(user: UserEntry) -> Result<Credential, Failure> {
    let (token, chain, key) = (text(user.token), text(user.client_certificate_data), text(user.client_key_data));
    for (field, value) in [("token", &token), ("client-certificate-data", &chain), ("client-key-data", &key)] {
        if value.as_ref().is_some_and(is_view) {
            return Err(invalid(field, IS_A_VIEW));
        }
    }
    let certificate = match (chain, key) {
        (Some(chain), Some(key)) => Some(ClientCertificate {
            chain: decode(&chain, "client-certificate-data")?,
            key: String::from_utf8(decode(&key, "client-key-data")?)
                .map_err(|_| invalid("client-key-data", "holds no private key in PEM"))?
                .into(),
        }),
        (Some(_), None) => return Err(invalid("client-key-data", "is missing beside client-certificate-data")),
        (None, Some(_)) => return Err(invalid("client-certificate-data", "is missing beside client-key-data")),
        (None, None) if token.is_none() => {
            return Err(invalid(
                "token",
                "is missing and so are client-certificate-data and client-key-data; give a credential (ksit never uses its own)",
            ));
        }
        (None, None) => None,
    };
    Ok(Credential { token, certificate, live_token: None })
}

/// The connection for a target that ksit signs in to with an identity of its own.
///
/// # Errors
/// Names the field of `spec.access` that is invalid or refused.
pub fn vet_access(access: &IdentityAccess, token: LiveToken, policy: &Policy) -> Result<Connection, Failure> {
    let server = Server::parse(&access.server)?;
    let proxy = access.proxy_url.as_deref().map(|url| allowed_proxy(url, policy)).transpose()?;
    if let Some(what) = policy.server_objection(&server.host, proxy.is_none()) {
        return Err(address_refused(&server.host, what));
    }
    let (trust, note) = trust(access.ca.as_deref().map(SecretString::from))?;
    let credential = Credential { live_token: Some(token), ..Credential::default() };
    let route = Route { policy: Some(policy.clone()), proxy };
    let connection = Connection::build(server, access.tls_server_name.as_deref(), trust, credential, route)?;
    Ok(connection.with_note(note))
}

/// The kubeconfig with another token, for one as `ksit target add` writes it: JSON with one user, who has a token.
///
/// # Errors
/// It is another.
pub fn with_token(bytes: &[u8], token: &SecretString) -> Result<SecretString, Failure> {
    let other = || {
        let why = "the kubeconfig was not written by ksit target add, which alone writes those whose token is renewed";
        Failure::new(Reason::RenewalFailed, why)
    };
    let mut file: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| other())?;
    let users = file.get_mut("users").and_then(serde_json::Value::as_array_mut);
    let Some([user]) = users.map(Vec::as_mut_slice) else { return Err(other()) };
    match user.pointer_mut("/user/token") {
        Some(present) if present.is_string() => *present = token.expose_secret().into(),
        _ => return Err(other()),
    }
    Ok(format!("{file:#}\n").into())
}

/// The value without surrounding white space, which `echo` and editors leave; `None` if empty.
fn text(value: Option<Hidden>) -> Option<SecretString> {
    let value = value?.0;
    let trimmed = value.expose_secret().trim();
    if trimmed.is_empty() { None } else { Some(SecretString::from(trimmed)) }
}

/// Whether the text is base64 of another text, which may be a kubeconfig.
fn is_base64(text: &str) -> bool {
    let packed: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).is_ok_and(|inner| std::str::from_utf8(&inner).is_ok())
}

fn decode(data: &SecretString, field: &str) -> Result<Vec<u8>, Failure> {
    // YAML block scalars contain line breaks.
    let packed: Vec<u8> = data.expose_secret().bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map_err(|_| invalid(field, "is not base64"))
}
