//! Sends the connections of all targets through one forward proxy.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::forward_proxy::{ForwardProxy, ProxyProtocol, Tunnels};

use super::fleet::{NAMESPACE, secret_name};
use super::{Fleet, RunError};

/// Concurrent writes to the hub.
const CONCURRENT_WRITES: usize = 32;

/// Starts a proxy, and names it in every kubeconfig. Replicas use it from their next start on.
pub(super) async fn through_proxy(fleet: &Fleet) -> Result<ForwardProxy, RunError> {
    let proxy = ForwardProxy::start(ProxyProtocol::Http, None, Tunnels::Open).await?;
    let url = format!("http://{}", proxy.address());
    let secrets: Api<Secret> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    stream::iter(0..fleet.targets)
        .map(|number| {
            let (secrets, url) = (&secrets, &url);
            async move {
                let mut kubeconfig: Value = serde_json::from_str(&fleet.clusters.kubeconfig(number)?)?;
                kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!(url);
                let patch = json!({ "stringData": { "kubeconfig": kubeconfig.to_string() } });
                secrets.patch(&secret_name(number), &PatchParams::default(), &Patch::Merge(patch)).await?;
                Ok::<_, RunError>(())
            }
        })
        .buffer_unordered(CONCURRENT_WRITES)
        .try_collect::<()>()
        .await?;
    Ok(proxy)
}
