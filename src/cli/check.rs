//! `ksit check`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::config::Kubeconfig;

use super::check_output::{self, Format, Row};
use super::output::print;
use super::own_kubeconfig::{self, connection, guarded};
use super::{COULD_NOT_TELL, CliError, duration, key_value, suggest, tool};
use crate::api::catalogue;
use crate::domain::evaluate::{Clock, WhenAbsent, evaluate};
use crate::domain::expected::Expected;
use crate::domain::integrations::{Tool, expected_of};
use crate::domain::managed::FailWhen;
use crate::domain::queries::first_step;
use crate::domain::reason::Failure;
use crate::domain::snapshot::{Query, Snapshot};
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
///   ksit check --set vault.namespace=secrets     a tool in an unusual place, among all others
///   ksit check --suggest > integrations.yaml     Integrations for what was found
///   ksit types                                   the supported tools
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Kubeconfig; default: $KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context to check; may be repeated. Default: the current one.
    #[arg(long, value_name = "NAME", conflicts_with = "all_contexts")]
    context: Vec<String>,
    /// Check every context of the kubeconfig.
    #[arg(long)]
    all_contexts: bool,
    /// Tool that must be installed; may be repeated. Default: every tool that is found.
    #[arg(long = "type", value_name = "TOOL", value_parser = tool)]
    types: Vec<&'static Tool>,
    /// Config key as in an Integration, such as namespace=gitops; TYPE.KEY=VALUE unless there is exactly one --type.
    #[arg(long, value_name = "[TYPE.]KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Print Integrations for the tools that were found, ready to apply.
    #[arg(long, conflicts_with = "output")]
    suggest: bool,
    /// Output format: table, wide (with every component) or json.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Time limit for each cluster.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let checks = checks(&args)?;
    let shown = match args.suggest {
        true => Shown::Suggestions,
        false => Shown::Rows(args.output),
    };
    check_all(args.kubeconfig.as_deref(), (&args.context, args.all_contexts), &checks, args.timeout, shown).await
}

/// Checks one tool that must be there.
pub(super) async fn run_one(
    tool: &'static Tool,
    kubeconfig: Option<PathBuf>,
    contexts: Vec<String>,
    timeout: Duration,
    format: Format,
) -> Result<ExitCode, CliError> {
    let expected = expected_of(tool, &BTreeMap::new()).map_err(|error| error.to_string())?;
    let check = Check { tool, expected, config: BTreeMap::new(), when_absent: WhenAbsent::Failed };
    check_all(kubeconfig.as_deref(), (&contexts, false), &[check], timeout, Shown::Rows(format)).await
}

enum Shown {
    Rows(Format),
    Suggestions,
}

async fn check_all(
    kubeconfig: Option<&Path>,
    (named, all): (&[String], bool),
    checks: &[Check],
    timeout: Duration,
    shown: Shown,
) -> Result<ExitCode, CliError> {
    let kubeconfig = &own_kubeconfig::read(kubeconfig)?;
    let contexts = contexts(named, all, kubeconfig)?;
    let limits = &Arc::new(Limits::new(Settings { round_timeout: timeout, ..Settings::default() }));
    let rows: Vec<Vec<Row>> = stream::iter(contexts)
        .map(|context| check_context(context, kubeconfig, checks, limits, timeout))
        .buffered(CONCURRENCY)
        .collect()
        .await;
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    match shown {
        Shown::Rows(format) => print(&check_output::render(&rows, format)?)?,
        Shown::Suggestions => print(&suggest::integrations(&rows, checks))?,
    };
    Ok(match worst(&rows) {
        _ if rows.iter().any(|row| row.tool.is_none()) => ExitCode::from(COULD_NOT_TELL),
        Some(Phase::Failed) => ExitCode::from(1),
        Some(Phase::Running | Phase::Degraded) => ExitCode::SUCCESS,
        _ => ExitCode::from(COULD_NOT_TELL),
    })
}

fn worst(rows: &[Row]) -> Option<Phase> {
    rows.iter().map(|row| row.verdict.phase).filter(|phase| phase.counts()).min()
}

/// A tool to check.
pub(super) struct Check {
    pub(super) tool: &'static Tool,
    pub(super) expected: Expected,
    pub(super) config: BTreeMap<String, String>,
    when_absent: WhenAbsent,
}

#[cfg(test)]
impl Check {
    /// A check of any tool, for tests of what is made of its result.
    pub(super) fn of(tool: &'static Tool, config: BTreeMap<String, String>) -> Self {
        Self { tool, expected: Expected::default(), config, when_absent: WhenAbsent::NotInstalled }
    }
}

fn checks(args: &Args) -> Result<Vec<Check>, CliError> {
    let (tools, when_absent) = match args.types.as_slice() {
        [] => (catalogue::tools().to_vec(), WhenAbsent::NotInstalled),
        some => (some.to_vec(), WhenAbsent::Failed),
    };
    let mut configs: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (key, value) in &args.set {
        let typed = key.split_once('.').and_then(|(name, key)| Some((catalogue::tool(name)?, key)));
        let (tool, key) = match (typed, args.types.as_slice()) {
            (Some(typed), _) => typed,
            (None, [only]) => (*only, key.as_str()),
            (None, _) => {
                return Err(format!("--set {key}: write TYPE.{key}=…, or give exactly one --type").into());
            }
        };
        if !tools.iter().any(|checked| checked.name == tool.name) {
            return Err(format!("--set {}.{key}: {} is not checked; add --type {0}", tool.name, tool.name).into());
        }
        configs.entry(&tool.name).or_default().insert(key.to_owned(), value.clone());
    }
    let one = |tool: &'static Tool| {
        let config = configs.get(tool.name.as_str()).cloned().unwrap_or_default();
        let mut expected = expected_of(tool, &config).map_err(|error| format!("--set: {error}"))?;
        if args.types.is_empty() {
            // Each list may be megabytes: they are read for the tools that are asked for, or where they count.
            expected.resources.retain(|kind| kind.fail_when != FailWhen::Never);
        }
        Ok(Check { tool, expected, config, when_absent })
    };
    tools.into_iter().map(one).collect()
}

fn contexts(named: &[String], all: bool, kubeconfig: &Kubeconfig) -> Result<Vec<String>, CliError> {
    let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    if all {
        return Ok(known);
    }
    if named.is_empty() {
        let current = kubeconfig.current_context.clone().filter(|name| !name.is_empty());
        return Ok(vec![current.ok_or("the kubeconfig has no current-context; give --context or --all-contexts")?]);
    }
    match named.iter().find(|name| !known.contains(name)) {
        Some(unknown) => Err(format!("--context: {unknown:?} is not one of {}", known.join(", ")).into()),
        None => Ok(named.to_vec()),
    }
}

/// The tools on one cluster; a single row without a tool if it can't be reached.
async fn check_context(
    context: String,
    kubeconfig: &Kubeconfig,
    checks: &[Check],
    limits: &Arc<Limits>,
    timeout: Duration,
) -> Vec<Row> {
    let all = checks.iter().map(|check| &check.expected);
    let clock = Clock { now: Timestamp::now(), earlier: &[] };
    let row = |tool, verdict| Row { context: context.clone(), tool, verdict };
    let why = |snapshot: &Snapshot| {
        let evaluated = checks.iter().map(|check| evaluate(&check.expected, snapshot, check.when_absent, &clock));
        evaluated.flat_map(|evaluated| evaluated.why).collect()
    };
    match guarded(read(&context, kubeconfig, all, why, limits, timeout)).await {
        Ok(snapshot) => {
            let judged = |check: &Check| {
                let evaluated = evaluate(&check.expected, &snapshot, check.when_absent, &clock);
                row(Some(check.tool.name.clone()), evaluated.verdict)
            };
            checks.iter().map(judged).collect()
        }
        Err(failure) => {
            vec![row(None, ToolVerdict::without_observations(Phase::Unknown, failure.reason, failure.message))]
        }
    }
}

async fn read(
    context: &str,
    kubeconfig: &Kubeconfig,
    tools: impl Iterator<Item = &Expected>,
    why: impl FnOnce(&Snapshot) -> BTreeSet<Query>,
    limits: &Arc<Limits>,
    timeout: Duration,
) -> Result<Snapshot, Failure> {
    let connection = connection(context, kubeconfig, timeout).await?;
    let cluster = Cluster::new(connection, limits.clone());
    let mut snapshot = Reflector::read(&cluster, &first_step(tools), Standing::Healthy).await?;
    let why = why(&snapshot);
    if !why.is_empty() {
        snapshot.extend(Reflector::read(&cluster, &why, Standing::Healthy).await?);
    }
    Ok(snapshot)
}
