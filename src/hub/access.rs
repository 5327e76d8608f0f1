//! How the hub is reached.
//!
//! ```text
//! requests, watches ─ base address, token, retries ─> Connections ─> a few HTTP/2 connections ─> API server
//!                                                       (PING on each, and an end for streams that are silent)
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

/// For a connection to be made, TLS included: whatever waits for it waits for this long at the most.
const TO_CONNECT: Duration = Duration::from_secs(10);

/// How long the hub may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// On a connection with nothing else to send, this long after the last byte a PING goes out.
    pub ping_after: Duration,
    /// Without an answer to that the connection is dead, and with it every watch on it.
    pub pong_within: Duration,
    /// A watch that has shown nothing for so long, nor a bookmark, of which an API server sends one a minute, is ended
    /// and goes on from its last version: should all have been well, that costs one request. Other requests fail.
    pub stream: Duration,
}

impl Default for Silence {
    /// A dead connection is noticed within 30 s, a silent stream on a living one within 90 s.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { ping_after: seconds(20), pong_within: seconds(10), stream: seconds(90) }
    }
}

/// Where the hub is and who asks; makes clients. Each belongs to the runtime that it is made in. Cheap to clone.
#[derive(Clone)]
pub struct HubAccess {
    config: Config,
    silence: Silence,
    is_http2: bool,
}

impl HubAccess {
    /// Connects once, to see whether the hub speaks HTTP/2. Something before an API server may not.
    pub async fn to(config: Config, silence: Silence) -> Result<Self, BoxError> {
        let is_https = config.cluster_url.scheme() == Some(&http::uri::Scheme::HTTPS);
        let is_http2 = is_https && config.proxy_url.is_none() && {
            let mut connector = timed(connector(&config, Versions::Both)?);
            connector.call(config.cluster_url.clone()).await?.connected().is_negotiated_h2()
        };
        if !is_http2 {
            tracing::warn!("the hub is not reached by HTTP/2: each watch takes a connection of its own");
        }
        Ok(Self { config, silence, is_http2 })
    }

    /// URL of its API server.
    pub fn server(&self) -> &Uri {
        &self.config.cluster_url
    }

    /// A client for everything that is not urgent. All of its watches share a few connections.
    pub fn client(&self) -> Result<Client, kube::Error> {
        let config = self.config.clone();
        if !self.is_http2 {
            return Client::try_from(config);
        }
        let connections = Connections::new(timed(connector(&config, Versions::Http2)?), self.silence);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .service(connections);
        Ok(Client::new(service, config.default_namespace))
    }

    /// A client for what must be prompt, with a deadline for each request.
    pub fn prompt(&self, deadline: Duration) -> Result<PromptClient, kube::Error> {
        PromptClient::new(self.config.clone(), deadline)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Versions {
    Http2,
    Both,
}

/// As kube makes it, but for the versions that are offered.
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

fn timed(connector: HttpsConnector<HttpConnector>) -> Connector {
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(Some(TO_CONNECT));
    connector
}
