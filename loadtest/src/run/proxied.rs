//! Sends the connections of all targets through one forward proxy, a process of its own.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use testkit::Process;
use tokio::time::sleep;

use super::fleet::{CONCURRENT_WRITES, put_secret};
use super::{Fleet, RunError};

/// Time that the process may take to listen.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// Starts a proxy, and names it in every kubeconfig. Replicas use it from their next start on.
pub(super) async fn through_proxy(fleet: &Fleet) -> Result<Process, RunError> {
    let (program, log) = (std::env::current_exe()?, fleet.hub.dir().join("proxy.log"));
    let mut proxy = Process::start("proxy", &program, &["proxy".to_owned()], &[], &log, None)?;
    let url = format!("http://{}", address(&mut proxy).await?);
    stream::iter(0..fleet.targets)
        .map(|number| {
            let url = &url;
            async move {
                let mut kubeconfig: Value = serde_json::from_str(&fleet.clusters.kubeconfig(number)?)?;
                kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!(url);
                put_secret(&fleet.client, number, &kubeconfig.to_string()).await
            }
        })
        .buffer_unordered(CONCURRENT_WRITES)
        .try_collect::<()>()
        .await?;
    Ok(proxy)
}

/// The address that the proxy prints.
async fn address(proxy: &mut Process) -> Result<String, RunError> {
    let start = std::time::Instant::now();
    loop {
        let printed = std::fs::read_to_string(proxy.log())?;
        if let Some((address, _)) = printed.split_once('\n') {
            return Ok(address.to_owned());
        }
        proxy.check()?;
        if start.elapsed() > START_DEADLINE {
            return Err(proxy.not_ready(START_DEADLINE).into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}
