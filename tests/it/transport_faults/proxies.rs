//! Targets behind a proxy.

use testkit::forward_proxy::{ForwardProxy, ProxyProtocol, Tunnels};

use super::*;

const USER: (&str, &str) = ("ksit", "planted-password");

/// The connection by `proxy-url`, which the operator allows.
fn behind(server: &FaultyApiServer, proxy_url: &str) -> Connection {
    let mut file: serde_json::Value = serde_saphyr::from_str(&server.kubeconfig()).unwrap();
    file["clusters"][0]["cluster"]["proxy-url"] = proxy_url.into();
    let policy = Policy { allow_loopback: true, proxies: AllowedProxies::any(), ..Policy::default() };
    vet(file.to_string().as_bytes(), &policy).unwrap()
}

#[tokio::test]
async fn target_is_read_through_each_kind_of_proxy() {
    let server = FaultyApiServer::with(Fault::None, Http::Two, Certificate::Good).await;
    for (protocol, scheme, user) in [
        (ProxyProtocol::Http, "http", None),
        (ProxyProtocol::Http, "http", Some(USER)),
        (ProxyProtocol::Https(server.proxy_tls()), "https", Some(USER)),
        (ProxyProtocol::Socks5, "socks5", None),
        (ProxyProtocol::Socks5, "socks5h", Some(USER)),
    ] {
        let proxy = ForwardProxy::start(protocol, user, Tunnels::Open).await.unwrap();
        let credentials = user.map(|(name, password)| format!("{name}:{password}@")).unwrap_or_default();
        let url = format!("{scheme}://{credentials}{}", proxy.address());
        let cluster = Cluster::new(behind(&server, &url), limits());
        assert_healthy(&cluster).await;
        assert_healthy(&cluster).await;
        assert_eq!(proxy.opened(), 1, "{scheme}: one connection for all rounds");
    }
}

#[tokio::test]
async fn proxies_that_fail_are_named_without_their_password() {
    let server = FaultyApiServer::with(Fault::None, Http::Two, Certificate::Good).await;
    let untrusted = FaultyApiServer::with(Fault::None, Http::Two, Certificate::UnknownCa).await;
    for (protocol, scheme, tunnels, user, reason) in [
        (ProxyProtocol::Http, "http", Tunnels::Refused, USER, Reason::ProxyFailed),
        (ProxyProtocol::Http, "http", Tunnels::Open, ("ksit", "planted-wrong"), Reason::ProxyFailed),
        (ProxyProtocol::Http, "http", Tunnels::Hang, USER, Reason::TimedOut),
        (ProxyProtocol::Https(untrusted.proxy_tls()), "https", Tunnels::Open, USER, Reason::ProxyFailed),
        (ProxyProtocol::Socks5, "socks5", Tunnels::Refused, USER, Reason::ProxyFailed),
        (ProxyProtocol::Socks5, "socks5", Tunnels::Open, ("ksit", "planted-wrong"), Reason::ProxyFailed),
        (ProxyProtocol::Socks5, "socks5", Tunnels::Hang, USER, Reason::TimedOut),
    ] {
        let proxy = ForwardProxy::start(protocol, Some(USER), tunnels).await.unwrap();
        let (name, password) = user;
        let url = format!("{scheme}://{name}:{password}@{}", proxy.address());
        let cluster = Cluster::new(behind(&server, &url), limits());
        let failure = Reflector::read(&cluster, &queries(), Standing::Healthy).await.unwrap_err();
        assert_eq!(failure.reason, reason, "{scheme}, {tunnels:?}: {failure}");
        assert!(failure.message.contains(&proxy.address().to_string()), "{failure}");
        assert!(!failure.message.contains("planted"), "{failure}");
    }
}

#[tokio::test]
async fn proxy_that_is_gone_is_named() {
    let server = FaultyApiServer::with(Fault::None, Http::Two, Certificate::Good).await;
    let cluster = Cluster::new(behind(&server, "http://127.0.0.1:1"), limits());
    let failure = Reflector::read(&cluster, &queries(), Standing::Healthy).await.unwrap_err();
    assert_eq!(failure.reason, Reason::ConnectFailed);
    assert!(failure.message.contains("behind the proxy 127.0.0.1:1"), "{failure}");
}
