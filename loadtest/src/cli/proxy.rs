//! `loadtest proxy`

use std::io::Write;

use testkit::forward_proxy::{ForwardProxy, ProxyProtocol, Tunnels};

/// Relay connections as an HTTP proxy on loopback, and print its address. A run with the step `proxy` starts it.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub(super) async fn run(Args {}: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let proxy = ForwardProxy::start(ProxyProtocol::Http, None, Tunnels::Open).await?;
    writeln!(std::io::stdout(), "{}", proxy.address())?;
    std::future::pending().await
}
