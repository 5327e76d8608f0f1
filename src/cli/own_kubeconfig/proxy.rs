//! Chooses the proxy for a cluster as kubectl does: `proxy-url` of the kubeconfig, else the environment.

use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::config::Cluster;

/// Sets the proxy of `config`, for which kube ignores NO_PROXY.
pub(super) fn choose(config: &mut Config, cluster: Option<&Cluster>) {
    let has_own = cluster.is_some_and(|cluster| cluster.proxy_url.as_ref().is_some_and(|url| !url.is_empty()));
    if !has_own {
        config.proxy_url = from_environment(&config.cluster_url);
    }
}

/// The proxy that HTTPS_PROXY and NO_PROXY give for a server. As with Go's clients, there is none for this machine.
fn from_environment(server: &http::Uri) -> Option<http::Uri> {
    let host = server.host()?.trim_start_matches('[').trim_end_matches(']');
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_local {
        return None;
    }
    let intercept = Matcher::from_env().intercept(server)?;
    with_user(intercept.uri(), intercept.basic_auth().and_then(|header| header.to_str().ok()), intercept.raw_auth())
}

/// The address with its user and password, which the matcher has taken out.
fn with_user(uri: &http::Uri, basic: Option<&str>, raw: Option<(&str, &str)>) -> Option<http::Uri> {
    let decoded = |header: &str| {
        let pair = header.strip_prefix("Basic ")?;
        String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, pair).ok()?).ok()
    };
    let pair = match (basic, raw) {
        (Some(header), _) => decoded(header)?,
        (None, Some((name, password))) => format!("{name}:{password}"),
        (None, None) => return Some(uri.clone()),
    };
    let (name, password) = pair.split_once(':')?;
    let encoded = |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let authority = format!("{}:{}@{}", encoded(name), encoded(password), uri.authority()?);
    http::Uri::builder().scheme(uri.scheme_str()?).authority(authority).path_and_query("/").build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_return_into_the_url() {
        let uri = http::Uri::from_static("http://proxy:3128/");
        let url = |basic, raw| with_user(&uri, basic, raw).map(|uri| uri.to_string());
        assert_eq!(url(None, None).as_deref(), Some("http://proxy:3128/"));
        assert_eq!(url(Some("Basic bWU6cEBzcw=="), None).as_deref(), Some("http://me:p%40ss@proxy:3128/"));
        assert_eq!(url(None, Some(("me", "p:s"))).as_deref(), Some("http://me:p%3As@proxy:3128/"));
    }
}
