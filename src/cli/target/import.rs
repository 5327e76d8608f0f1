//! `ksit target import`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::api::ApiResource;
use kube::discovery;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::sleep;

use super::execute::{CONCURRENCY, Candidate, Consent, Outcome, Row, execute};
use super::hub_side::{HubSide, Wanted, acceptable};
use super::names::object_name;
use super::{argocd, capi, cluster_profile, ocm};
use crate::cli::hub::Hub;
use crate::cli::output::print_error;
use crate::cli::{CliError, hub};

/// Create IntegrationTargets for the clusters that another system on the hub manages.
///
/// From Argo CD it imports the Secrets labelled argocd.argoproj.io/secret-type: cluster; each
/// becomes an IntegrationTarget and a Secret with server, CA and credential, or with spec.access for
/// the identities of AWS, Google Cloud and Azure. From Cluster API it
/// imports the Clusters of the namespace; their IntegrationTargets use the existing Secret
/// CLUSTER-kubeconfig in the same namespace. From the Cluster Inventory API it imports the
/// ClusterProfiles of the namespace whose access provider is google, azure or aws. From Open Cluster
/// Management it imports the ManagedClusters with a ManagedServiceAccount ksit, and copies its token,
/// which --watch keeps current. Labels become labels of the target.
/// ksit then has the rights of that credential, usually an administrator's, and only reads;
/// ksit target add creates an account that can't do more than read.
/// Clusters that can't be imported (other plugins, insecure connections) are skipped, with the reason. It shows the plan and asks first; you can run it again. Exits with 0, 1 if a
/// cluster failed, 2 if nothing was attempted.
///
/// With --watch it goes on: new clusters appear, changed ones change, and with --prune those that are
/// gone are removed, if it had imported them.
///
/// Examples:
///   ksit target import --from argocd -n ksit-system --dry-run
///   ksit target import --from ocm -n ksit-system --yes --watch --prune
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
    /// Import again every 30 s, until Ctrl-C.
    #[arg(long, requires = "yes")]
    watch: bool,
    /// Remove targets that were imported from the same source and are gone there.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    hub_flags: hub::HubFlags,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// Argo CD
    Argocd,
    /// Cluster API
    Capi,
    /// Cluster Inventory API
    Clusterprofile,
    /// Open Cluster Management
    Ocm,
}

impl From {
    /// Value of the label [`MADE_BY`].
    fn made_by(self) -> &'static str {
        match self {
            Self::Argocd => "argocd",
            Self::Capi => "capi",
            Self::Clusterprofile => "clusterprofile",
            Self::Ocm => "ocm",
        }
    }
}

/// Time between two imports with --watch.
const AGAIN: Duration = Duration::from_secs(30);

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
    /// How ksit signs in, or the reason that it can't.
    pub(super) sign_in: Result<SignIn, CliError>,
}

/// How ksit signs in to a cluster.
#[derive(Debug)]
pub(super) enum SignIn {
    /// A kubeconfig for a Secret.
    Kubeconfig(SecretString),
    /// `spec.access`.
    Access(Value),
}

enum Work {
    /// The state on the hub, and the kubeconfig for its Secret.
    Write(Box<Wanted>, SecretString),
    /// A target that is gone.
    Delete(String),
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    loop {
        let done = import(&args).await;
        if !args.watch {
            return done;
        }
        // The source may be away for a while, and credentials of the hub renewed.
        if let Err(error) = done {
            print_error(&format!("error: {error}\n"));
        }
        sleep(AGAIN).await;
    }
}

async fn import(args: &Args) -> Result<ExitCode, CliError> {
    let hub = HubSide { hub: args.hub_flags.hub().await?, force: args.consent.force };
    hub.warn_if_unwatched().await;
    let found = match args.from {
        From::Argocd => argocd::clusters(&hub.hub, &args.argocd_namespace).await?,
        From::Capi => capi::clusters(&hub.hub).await?,
        From::Clusterprofile => cluster_profile::clusters(&hub.hub).await?,
        From::Ocm => ocm::clusters(&hub.hub).await?,
    };
    let made_by = args.from.made_by();
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
    let gone = match args.prune {
        true => hub.made_by(made_by).await?.into_iter().filter(|name| !taken.contains_key(name)).collect(),
        false => Vec::new(),
    };
    let hub = &hub;
    let mut candidates: Vec<Candidate<Work>> = stream::iter(named)
        .map(|(found, name)| candidate(found, name, made_by, hub))
        .buffered(CONCURRENCY)
        .collect()
        .await;
    let verb = if gone.is_empty() { "Create" } else { "Create and delete" };
    candidates.extend(gone.into_iter().map(|name| gone_candidate(name, made_by, &hub.hub.namespace)));
    execute(&args.consent, verb, candidates, async |work: Work| match work {
        Work::Write(wanted, kubeconfig) => hub.write(&wanted, &kubeconfig).await.map(|()| (Outcome::Added, None)),
        Work::Delete(name) => hub.delete(&name, made_by).await.map(|()| (Outcome::Removed, None)),
    })
    .await
}

/// A target that the source no longer has.
fn gone_candidate(name: String, made_by: &str, namespace: &str) -> Candidate<Work> {
    let mut row = Row::planned(&name, format!("{made_by}, which no longer has it"));
    row.objects = vec![format!("hub: IntegrationTarget {namespace}/{name}, and the Secret made for it")];
    Candidate { row, work: Some(Work::Delete(name)) }
}

/// The resource of a kind, in the version that the hub serves. `system`: what serves it, for messages.
pub(super) async fn served(hub: &Hub, group: &str, kind: &str, system: &str) -> Result<ApiResource, CliError> {
    let found = match discovery::group(&hub.client, group).await {
        Err(kube::Error::Discovery(_)) => {
            return Err(format!("{system} is not on the hub: no API group {group}").into());
        }
        found => found.map_err(|error| hub.fault(&error))?,
    };
    let (resource, _) = found.recommended_kind(kind).ok_or_else(|| format!("the hub serves no {kind} of {system}"))?;
    Ok(resource)
}

/// Plans the import of one cluster: reads the hub, writes nothing.
async fn candidate(
    found: Found,
    name: Result<String, CliError>,
    made_by: &'static str,
    hub: &HubSide,
) -> Candidate<Work> {
    let Found { from, name: text, server, labels, secret, sign_in } = found;
    let mut row = Row { server: server.clone(), ..Row::planned(&text, from) };
    let (kubeconfig, access) = match sign_in {
        Ok(SignIn::Kubeconfig(kubeconfig)) => match acceptable(kubeconfig.expose_secret().as_bytes()) {
            Ok(note) => {
                row.message = note.unwrap_or_default();
                (kubeconfig, None)
            }
            Err(failure) => return Candidate::stopped(row, Outcome::Skipped, failure.message),
        },
        Ok(SignIn::Access(access)) => {
            let namespace = &hub.hub.namespace;
            row.message =
                format!("signs in with ksit's own identity: needs --access-namespaces={namespace} of the operator");
            (SecretString::default(), Some(access))
        }
        Err(reason) => return Candidate::stopped(row, Outcome::Skipped, reason.to_string()),
    };
    let name = match name {
        Ok(name) => name,
        Err(error) => return Candidate::stopped(row, Outcome::Failed, error.to_string()),
    };
    row.cluster.clone_from(&name);
    let wanted = Wanted { name, server, labels, keeps_labels: false, made_by, secret, access, token_ttl: None };
    if let Err(error) = hub.check(&wanted).await {
        return Candidate::stopped(row, Outcome::Failed, error.to_string());
    }
    row.objects = wanted.objects(&hub.hub.namespace);
    Candidate { row, work: Some(Work::Write(Box::new(wanted), kubeconfig)) }
}
