//! Builds the clients for the hub's API server.
//!
//! ```text
//! requests, watches ─ base address, token, retries ─> Connections ─> a few HTTP/2 connections ─> API server
//!                                                       (PING on each; silent streams are ended)
//! Leases, map       ─ PromptClient, HTTP/1.1 ──────────────────────────────────────────────> API server
//! ```

use std::time::Duration;

use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use kube::client::ConfigExt;
use kube::client::retry::RetryPolicy;
use kube::{Client, Config};
use rustls::pki_types::ServerName;
use tower::retry::RetryLayer;
use tower::{BoxError, Service, ServiceBuilder};

use super::connections::Connections;
use super::prompt_client::PromptClient;

/// Limit for establishing a connection, TLS included; requests that need it wait no longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits on the hub's silence.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// An idle connection sends a PING this long after the last byte.
    pub ping_after: Duration,
    /// Without an answer to the PING within this time, the connection and all watches on it are dead.
    pub pong_within: Duration,
    /// A watch without an event or bookmark (API servers send one a minute) for this long is ended and resumes from its
    /// last version; a false alarm costs one request. Other requests fail.
    pub stream: Duration,
}

impl Default for Silence {
    /// A dead connection is noticed within 30 s, a silent stream on a living one within 90 s.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { ping_after: seconds(20), pong_within: seconds(10), stream: seconds(90) }
    }
}

/// Factory of hub clients. A client belongs to the runtime it is created in. Cheap to clone.
#[derive(Clone)]
pub struct HubAccess {
    config: Config,
    silence: Silence,
    is_http2: bool,
}

impl HubAccess {
    /// Connects once to find out whether the hub speaks HTTP/2; a proxy in front of it may not.
    ///
    /// # Errors
    /// Fails if the hub can't be reached within ten seconds, or its TLS settings are invalid.
    pub async fn to(config: Config, silence: Silence) -> Result<Self, BoxError> {
        let is_https = config.cluster_url.scheme() == Some(&http::uri::Scheme::HTTPS);
        let is_http2 = is_https && config.proxy_url.is_none() && {
            let mut connector = with_timeout(connector(&config, Versions::Both)?);
            connector.call(config.cluster_url.clone()).await?.connected().is_negotiated_h2()
        };
        if !is_http2 {
            tracing::warn!("the hub does not support HTTP/2: each watch takes a connection of its own");
        }
        Ok(Self { config, silence, is_http2 })
    }

    /// URL of the API server.
    pub(crate) fn server(&self) -> &Uri {
        &self.config.cluster_url
    }

    /// Creates a client for requests that are not urgent. Its watches share a few connections.
    pub(crate) fn client(&self) -> Result<Client, kube::Error> {
        let config = self.config.clone();
        if !self.is_http2 {
            return Client::try_from(config);
        }
        let connections = Connections::new(with_timeout(connector(&config, Versions::Http2)?), self.silence);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .service(connections);
        Ok(Client::new(service, config.default_namespace))
    }

    /// Creates a client for urgent requests, with a deadline for each.
    pub(crate) fn prompt(&self, deadline: Duration) -> Result<PromptClient, kube::Error> {
        PromptClient::new(self.config.clone(), deadline)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Versions {
    Http2,
    Both,
}

/// kube's connector, except for the HTTP versions it offers.
fn connector(config: &Config, versions: Versions) -> Result<HttpsConnector<HttpConnector>, kube::Error> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_only();
    let builder = match &config.tls_server_name {
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|error| kube::Error::Service(error.into()))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
        None => builder,
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    Ok(match versions {
        Versions::Http2 => builder.enable_http2().wrap_connector(http),
        Versions::Both => builder.enable_all_versions().wrap_connector(http),
    })
}

pub(super) type Connector = TimeoutConnector<HttpsConnector<HttpConnector>>;

fn with_timeout(connector: HttpsConnector<HttpConnector>) -> Connector {
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector
}
