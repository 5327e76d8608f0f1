//! Resolves the addresses of the hub's API server. No target may be the hub itself: with a ServiceAccount's token as
//! its credential, such a target would bypass RBAC.

use std::net::IpAddr;

use http::Uri;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::prompt_client::PROMPT_TIMEOUT;

/// Returns the addresses of the server's name (in a Pod: of a Service), and that Service's endpoints if RBAC allows
/// reading them.
///
/// # Errors
/// The addresses found so far, if the name does not resolve or the endpoints can't be read at the moment.
pub async fn hub_addresses(client: &Client, server: &Uri) -> Result<Vec<IpAddr>, Vec<IpAddr>> {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let Ok(Ok(found)) = timeout(PROMPT_TIMEOUT, lookup_host((host, 0))).await else { return Err(Vec::new()) };
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    match timeout(PROMPT_TIMEOUT, slices.get("kubernetes")).await {
        Ok(Ok(slice)) => {
            let endpoints = slice.endpoints.into_iter().flatten().flat_map(|endpoint| endpoint.addresses);
            addresses.extend(endpoints.filter_map(|address| address.parse::<IpAddr>().ok()));
            Ok(addresses)
        }
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => Ok(addresses),
        _ => Err(addresses),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    async fn addresses(server: &str, code: u16, slice: Value) -> Result<Vec<String>, Vec<String>> {
        let hub = tower::service_fn(move |_: Request<Body>| {
            let answer = Response::builder().status(code).body(Body::from(slice.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        let found = hub_addresses(&Client::new(hub, "fleet"), &server.parse().unwrap()).await;
        let text = |found: Vec<IpAddr>| found.iter().map(IpAddr::to_string).collect();
        found.map(text).map_err(text)
    }

    #[tokio::test]
    async fn hub_addresses_are_service_ip_and_endpoints() {
        let slice = json!({ "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.0.0.1"] }, { "addresses": ["10.0.0.2", "c1.example"] }] });
        let found = addresses("https://10.96.0.1:443", 200, slice.clone()).await.unwrap();
        assert_eq!(found, ["10.96.0.1", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(addresses("https://[fd00::1]:443", 403, json!({ "code": 403 })).await.unwrap(), ["fd00::1"]);
        let passing = addresses("https://10.96.0.1:443", 503, json!({ "code": 503 })).await;
        assert_eq!(passing, Err(vec!["10.96.0.1".to_owned()]), "a temporary error keeps the endpoints");
        assert_eq!(addresses("https://hub.invalid:443", 200, slice).await, Err(Vec::new()));
    }
}
