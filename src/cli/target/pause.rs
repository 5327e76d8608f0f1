//! `ksit target pause` and `ksit target resume`

use std::time::Duration;

use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::api::IntegrationTarget;
use crate::cli::hub::{Hub, HubFlags};
use crate::cli::output::print;
use crate::cli::{CliError, duration};
use crate::domain::escape::{escape, is_invisible};

/// Annotation with the user's reason.
pub(super) const REASON: &str = "ksit.io/pause-reason";

/// Longest reason, in characters.
const LONGEST_REASON: usize = 200;

/// Stop checking clusters, for example during maintenance: they are shown as Paused and counted apart.
///
/// Examples:
///   ksit target pause berlin --for 2h --reason 'upgrade to 1.36'
///   ksit target pause berlin paris           until ksit target resume
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PauseArgs {
    /// Names of IntegrationTargets.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Time after which checks go on by themselves; default: when `ksit target resume` is run.
    #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
    for_: Option<Duration>,
    /// Reason for those who look, shown by `ksit target NAME`.
    #[arg(long, value_parser = reason, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    hub: HubFlags,
}

/// Check paused clusters again.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// Names of IntegrationTargets.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    hub: HubFlags,
}

fn reason(text: &str) -> Result<String, String> {
    if text.chars().count() > LONGEST_REASON || text.chars().any(is_invisible) {
        return Err(format!("use at most {LONGEST_REASON} visible characters"));
    }
    Ok(text.to_owned())
}

pub(super) async fn pause(args: PauseArgs) -> Result<(), CliError> {
    let hub = args.hub.hub().await?;
    let (until, done) = match args.for_ {
        Some(time) => {
            // By the hub's clock, as ksit's replicas judge it by theirs and not by this machine's.
            let until = hub.now().await.checked_add(time).map_err(|_| "--for: too long")?;
            let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
            (Some(until.to_string()), format!("paused until {until}"))
        }
        None => (None, "paused until ksit target resume".to_owned()),
    };
    let spec = json!({ "paused": until.is_none(), "pausedUntil": until });
    patch_all(&hub, &args.names, &spec, args.reason.as_deref(), &done).await
}

pub(super) async fn resume(args: ResumeArgs) -> Result<(), CliError> {
    let hub = args.hub.hub().await?;
    let spec = json!({ "paused": false, "pausedUntil": null });
    patch_all(&hub, &args.names, &spec, None, "resumed").await
}

/// Changes all targets, also after one has failed, and fails with the first cause.
async fn patch_all(
    hub: &Hub,
    names: &[String],
    spec: &Value,
    reason: Option<&str>,
    done: &str,
) -> Result<(), CliError> {
    let api: Api<IntegrationTarget> = hub.api(false);
    let patch = json!({ "metadata": { "annotations": { REASON: reason } }, "spec": spec });
    let mut failed = None;
    for name in names {
        match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => drop(print(&format!("{} {done}\n", escape(name)))?),
            Err(error) => {
                failed.get_or_insert(format!("IntegrationTarget {}/{name}: {}", hub.namespace, hub.fault(&error)));
            }
        }
    }
    failed.map_or(Ok(()), |failure| Err(failure.into()))
}
