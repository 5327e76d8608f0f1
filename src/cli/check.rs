//! `ksit check`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::config::Kubeconfig;

use super::check_output::{self, Format, Row};
use super::output::print;
use super::own_kubeconfig::{self, connection, guarded};
use super::{COULD_NOT_TELL, CliError, duration, key_value, tool, types};
use crate::domain::component::Component;
use crate::domain::evaluate::{Clock, WhenAbsent, evaluate};
use crate::api::catalogue;
use crate::domain::expected::Expected;
use crate::domain::integrations::{Tool, expected_of};
use crate::domain::queries::first_step;
use crate::domain::reason::Failure;
use crate::domain::snapshot::Snapshot;
use crate::domain::verdict::{Phase, ToolVerdict};
use crate::targets::{Cluster, Limits, Reflector, Settings, Standing};

/// Contexts checked concurrently.
const CONCURRENCY: usize = 16;

/// Check tools on the clusters of a kubeconfig, without a hub and without installing anything.
///
/// It only reads. It trusts your own kubeconfig as kubectl does: exec plugins run.
/// Exits with 0 if everything is healthy, 1 if something is not, 2 if ksit could
/// not tell.
///
/// Examples:
///   ksit check                                   every tool found on the current context
///   ksit check --type argocd --all-contexts      one tool, everywhere
///   ksit check --type flux --set namespace=gitops -o json
///   ksit check --list-types                      the supported tools and their components
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Kubeconfig; default: $KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<std::path::PathBuf>,
    /// Context to check; may be repeated. Default: the current one.
    #[arg(long, value_name = "NAME", conflicts_with = "all_contexts")]
    context: Vec<String>,
    /// Check every context of the kubeconfig.
    #[arg(long)]
    all_contexts: bool,
    /// Tool that must be installed; may be repeated. Default: every tool that is found.
    #[arg(long = "type", value_name = "TOOL", value_parser = tool)]
    types: Vec<&'static Tool>,
    /// Config key as in an Integration, such as namespace=gitops. Needs exactly one --type.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// List the supported tools and their components, without connecting to a cluster.
    #[arg(long)]
    list_types: bool,
    /// Output format: table, wide (with every component) or json.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Time limit for each cluster.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    if args.list_types {
        let tools = if args.types.is_empty() { catalogue::tools() } else { &args.types };
        print(&types::list(tools))?;
        return Ok(ExitCode::SUCCESS);
    }
    let checks = checks(&args)?;
    let kubeconfig = own_kubeconfig::read(args.kubeconfig.as_deref())?;
    let contexts = contexts(&args, &kubeconfig)?;
    let limits = Limits::new(Settings { round_timeout: args.timeout, ..Settings::default() });
    let (limits, checks, kubeconfig) = (&Arc::new(limits), &checks, &kubeconfig);
    let rows: Vec<Vec<Row>> = stream::iter(contexts)
        .map(|context| check_context(context, kubeconfig, checks, limits, args.timeout))
        .buffered(CONCURRENCY)
        .collect()
        .await;
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    print(&check_output::render(&rows, args.output)?)?;
    Ok(match worst(&rows) {
        _ if rows.iter().any(|row| row.unreachable) => ExitCode::from(COULD_NOT_TELL),
        Some(Phase::Failed) => ExitCode::from(1),
        Some(Phase::Running) => ExitCode::SUCCESS,
        _ => ExitCode::from(COULD_NOT_TELL),
    })
}

fn worst(rows: &[Row]) -> Option<Phase> {
    rows.iter().map(|row| row.verdict.phase).filter(|phase| phase.counts()).min()
}

/// A tool, its components, and the meaning of its absence.
type Check = (&'static Tool, Expected, WhenAbsent);

fn checks(args: &Args) -> Result<Vec<Check>, CliError> {
    if !args.set.is_empty() && args.types.len() != 1 {
        return Err("--set: needs exactly one --type, to which it applies".into());
    }
    let config: BTreeMap<String, String> = args.set.iter().cloned().collect();
    let (tools, when_absent) = match args.types.as_slice() {
        [] => (catalogue::tools().to_vec(), WhenAbsent::NotInstalled),
        some => (some.to_vec(), WhenAbsent::Failed),
    };
    let one = |tool: &'static Tool| {
        let expected = expected_of(tool, &config).map_err(|error| format!("--set: {error}"))?;
        Ok((tool, expected, when_absent))
    };
    tools.into_iter().map(one).collect()
}

fn contexts(args: &Args, kubeconfig: &Kubeconfig) -> Result<Vec<String>, CliError> {
    let all: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    if args.all_contexts {
        return Ok(all);
    }
    if args.context.is_empty() {
        let current = kubeconfig.current_context.clone().filter(|name| !name.is_empty());
        return Ok(vec![current.ok_or("the kubeconfig has no current-context; give --context or --all-contexts")?]);
    }
    match args.context.iter().find(|name| !all.contains(name)) {
        Some(unknown) => Err(format!("--context: {unknown:?} is not one of {}", all.join(", ")).into()),
        None => Ok(args.context.clone()),
    }
}

async fn check_context(
    context: String,
    kubeconfig: &Kubeconfig,
    checks: &[Check],
    limits: &Arc<Limits>,
    timeout: Duration,
) -> Vec<Row> {
    let row =
        |tool: &Tool, verdict, unreachable| Row { context: context.clone(), tool: tool.name.clone(), verdict, unreachable };
    let all = checks.iter().flat_map(|(_, expected, _)| &expected.components);
    let clock = Clock { now: Timestamp::now(), earlier: &[] };
    match guarded(read(&context, kubeconfig, all, limits, timeout)).await {
        Ok(snapshot) => checks
            .iter()
            .map(|(tool, expected, when_absent)| row(tool, evaluate(expected, &snapshot, *when_absent, &clock).0, false))
            .collect(),
        Err(failure) => {
            let verdict = |failure: &Failure| {
                ToolVerdict::without_observations(Phase::Unknown, failure.reason, failure.message.clone())
            };
            checks.iter().map(|(tool, ..)| row(tool, verdict(&failure), true)).collect()
        }
    }
}

async fn read(
    context: &str,
    kubeconfig: &Kubeconfig,
    components: impl Iterator<Item = &Component>,
    limits: &Arc<Limits>,
    timeout: Duration,
) -> Result<Snapshot, Failure> {
    let connection = connection(context, kubeconfig, timeout).await?;
    let cluster = Cluster::new(connection, limits.clone());
    Reflector::read(&cluster, &first_step(components), Standing::Healthy).await
}
