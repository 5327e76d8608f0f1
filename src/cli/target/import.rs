//! `ksit target import`

use std::collections::BTreeMap;
use std::process::ExitCode;

use futures::{StreamExt, stream};
use secrecy::{ExposeSecret, SecretString};

use super::execute::{CONCURRENCY, Candidate, Consent, Outcome, Row, execute};
use super::hub_side::{HubSide, Wanted, acceptable};
use super::names::object_name;
use super::{argocd, capi};
use crate::cli::{CliError, hub};

/// Create IntegrationTargets for the clusters that Argo CD or Cluster API on the hub manage.
///
/// From Argo CD it imports the Secrets labelled argocd.argoproj.io/secret-type: cluster; each
/// becomes an IntegrationTarget and a Secret with server, CA and credential. From Cluster API it
/// imports the Clusters of the namespace; their IntegrationTargets use the existing Secret
/// CLUSTER-kubeconfig in the same namespace. Labels become labels of the target.
/// ksit then has the rights of that credential, usually an administrator's, and only reads;
/// ksit target add creates an account that can't do more than read.
/// Clusters that can't be imported (exec plugins, AWS roles, insecure connections) are skipped,
/// with the reason. It shows the plan and asks first; you can run it again. Exits with 0, 1 if a
/// cluster failed, 2 if nothing was attempted.
///
/// Examples:
///   ksit target import --from argocd -n ksit-system --dry-run
///   ksit target import --from capi -n team-a
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Source of the clusters.
    #[arg(long, value_enum)]
    from: From,
    /// Namespace of Argo CD's cluster Secrets.
    #[arg(long, value_name = "NAME", default_value = "argocd")]
    argocd_namespace: String,
    #[command(flatten)]
    hub_flags: hub::HubFlags,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum From {
    Argocd,
    Capi,
}

/// A cluster found in another system.
pub(super) struct Found {
    /// The object that describes it.
    pub(super) from: String,
    /// Any text, not yet a valid object name.
    pub(super) name: String,
    pub(super) server: String,
    pub(super) labels: BTreeMap<String, String>,
    /// An existing Secret with a kubeconfig, and its key.
    pub(super) secret: Option<(String, String)>,
    /// The kubeconfig, or the reason that there is none.
    pub(super) kubeconfig: Result<SecretString, CliError>,
}

struct Work {
    wanted: Wanted,
    kubeconfig: SecretString,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let hub = HubSide { hub: args.hub_flags.hub().await?, force: args.consent.force };
    hub.warn_if_unwatched().await;
    let (made_by, found) = match args.from {
        From::Argocd => ("argocd", argocd::clusters(&hub.hub, &args.argocd_namespace).await?),
        From::Capi => ("capi", capi::clusters(&hub.hub).await?),
    };
    let mut taken = BTreeMap::new();
    let named: Vec<(Found, Result<String, CliError>)> = found
        .into_iter()
        .map(|found| {
            let name = object_name(&found.name).and_then(|name| match taken.insert(name.clone(), found.from.clone()) {
                Some(other) => Err(format!("its name would be the same as that of {other}").into()),
                None => Ok(name),
            });
            (found, name)
        })
        .collect();
    let hub = &hub;
    let candidates: Vec<Candidate<Work>> = stream::iter(named)
        .map(|(found, name)| candidate(found, name, made_by, hub))
        .buffered(CONCURRENCY)
        .collect()
        .await;
    execute(&args.consent, candidates, async |work: Work| hub.write(&work.wanted, &work.kubeconfig).await).await
}

/// Plans the import of one cluster: reads the hub, writes nothing.
async fn candidate(
    found: Found,
    name: Result<String, CliError>,
    made_by: &'static str,
    hub: &HubSide,
) -> Candidate<Work> {
    let Found { from, name: text, server, labels, secret, kubeconfig } = found;
    let mut row = Row {
        cluster: text,
        from,
        server: server.clone(),
        result: Outcome::Planned,
        message: String::new(),
        objects: Vec::new(),
    };
    let kubeconfig = match kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        Err(reason) => return Candidate::stopped(row, Outcome::Skipped, reason.to_string()),
    };
    match acceptable(kubeconfig.expose_secret().as_bytes()) {
        Ok(note) => row.message = note.unwrap_or_default(),
        Err(failure) => return Candidate::stopped(row, Outcome::Skipped, failure.message),
    }
    let name = match name {
        Ok(name) => name,
        Err(error) => return Candidate::stopped(row, Outcome::Failed, error.to_string()),
    };
    row.cluster.clone_from(&name);
    let wanted = Wanted { name, server, labels, keeps_labels: false, made_by, secret };
    if let Err(error) = hub.check(&wanted).await {
        return Candidate::stopped(row, Outcome::Failed, error.to_string());
    }
    row.objects = wanted.objects(&hub.hub.namespace);
    Candidate { row, work: Some(Work { wanted, kubeconfig }) }
}
