//! `ksit clusters`

use std::collections::BTreeSet;
use std::process::ExitCode;

use kube::api::{Api, ListParams};
use serde::Serialize;

use super::CliError;
use super::hub::{Hub, HubArgs, Shown};
use super::table::table;
use crate::api::IntegrationTarget;
use crate::hub::Lenient;
use crate::lists::{ClusterRow, Filter, ToolRow};

/// Show all clusters with the state of every tool on them, worst first.
///
/// Examples:
///   ksit clusters -l env=prod
///   ksit clusters --phase Failed,Degraded -o wide
///   ksit clusters --type argocd --version 2.11.0
///   ksit clusters --reason CrashLoopBackOff -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, disable_version_flag = true)]
pub struct Args {
    #[command(flatten)]
    hub: HubArgs,
    /// List all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    #[command(flatten)]
    filter: Conditions,
}

/// Selects clusters; one has to meet all conditions that are given.
#[derive(Debug, Default, clap::Args)]
struct Conditions {
    /// Clusters with these labels, such as env=prod,tier!=test.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Clusters in one of these phases; with --type, clusters on which such a tool is.
    #[arg(long, value_delimiter = ',', value_name = "PHASES")]
    phase: Vec<String>,
    /// Show these types of tools only, and the clusters that have one.
    #[arg(long = "type", value_delimiter = ',', value_name = "TYPES")]
    types: Vec<String>,
    /// Clusters of which a condition, or a tool on them, has this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Clusters on which a tool has this version.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

impl Conditions {
    /// The conditions but for the labels, which the hub selects by.
    fn filter(&self) -> Filter {
        let Self { selector: _, phase, types, reason, version } = self;
        let (phases, types) = (phase.clone(), types.clone());
        Filter { phases, types, reason: reason.clone(), version: version.clone(), ..Filter::default() }
    }
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let filter = args.filter.filter();
    let look = async |hub: Hub| {
        let all = targets(&hub, args.all_namespaces, args.filter.selector.as_deref()).await?;
        let mut rows: Vec<ClusterRow> = all.iter().map(ClusterRow::from).filter_map(|row| filter.apply(row)).collect();
        rows.sort_by(|a, b| (a.rank(), &a.namespace, &a.name).cmp(&(b.rank(), &b.namespace, &b.name)));
        Ok(Clusters(rows))
    };
    args.hub.show(look).await?;
    Ok(ExitCode::SUCCESS)
}

/// The IntegrationTargets with these labels, in one namespace or all. Unreadable ones are left out.
pub(super) async fn targets(
    hub: &Hub,
    all_namespaces: bool,
    selector: Option<&str>,
) -> Result<Vec<IntegrationTarget>, CliError> {
    let api: Api<Lenient<IntegrationTarget>> = hub.api(all_namespaces);
    let params = selector.map_or_else(ListParams::default, |selector| ListParams::default().labels(selector));
    let found = api.list(&params).await.map_err(|error| hub.fault(&error))?;
    let read = |item| match item {
        Lenient::Read(target) => Some(*target),
        Lenient::Unreadable { .. } => None,
    };
    Ok(found.items.into_iter().filter_map(read).collect())
}

#[derive(Serialize)]
#[serde(transparent)]
struct Clusters(Vec<ClusterRow>);

impl Shown for Clusters {
    /// A column for each Integration, and one for maintenance if there is any; `wide` adds versions and the message.
    fn text(&self, wide: bool) -> String {
        let integrations: BTreeSet<&str> =
            self.0.iter().flat_map(|line| &line.tools).map(|tool| tool.integration.as_str()).collect();
        let heads: Vec<String> = integrations.iter().map(|name| name.to_uppercase()).collect();
        let mut columns = vec!["NAMESPACE", "CLUSTER", "PHASE"];
        let is_maintained = self.0.iter().any(|row| row.maintenance.is_some());
        columns.extend(is_maintained.then_some("MAINTENANCE"));
        columns.extend(heads.iter().map(String::as_str));
        columns.extend(wide.then_some("SINCE"));
        columns.extend(wide.then_some("MESSAGE"));
        let cell = |row: &ClusterRow, name: &str| match row.tools.iter().find(|tool| tool.integration == name) {
            None => "-".to_owned(),
            Some(ToolRow { phase, version: Some(version), .. }) if wide => format!("{phase} {version}"),
            Some(tool) => tool.phase.clone(),
        };
        let row = |line: &ClusterRow| {
            let mut cells = vec![line.namespace.clone(), line.name.clone(), line.phase.clone()];
            let window = line.maintenance.as_ref().map_or("-".to_owned(), |window| format!("until {}", window.until));
            cells.extend(is_maintained.then_some(window));
            cells.extend(integrations.iter().map(|name| cell(line, name)));
            if wide {
                cells.extend([&line.since, &line.message].map(|text| text.clone().unwrap_or_default()));
            }
            cells
        };
        table(&columns, &self.0.iter().map(row).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::MaintenanceStatus;

    #[test]
    fn clusters_are_a_matrix_of_their_tools() {
        let mut rows = vec![row("berlin", "Failed"), row("oslo", "Running")];
        let text = Clusters(rows.clone()).text(false);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["NAMESPACE", "CLUSTER", "PHASE", "ARGOCD", "MESH"]);
        assert_eq!(words[1], ["fleet", "berlin", "Failed", "Failed", "Running"]);
        let until = "2030-01-31T08:00:00Z".to_owned();
        rows[0].maintenance = Some(MaintenanceStatus { name: "night".to_owned(), until, integrations: Vec::new() });
        let text = Clusters(rows).text(false);
        let berlin = text.lines().nth(1).unwrap();
        assert!(text.contains("MAINTENANCE") && berlin.contains("until 2030-01-31T08:00:00Z   Failed"), "{text}");
    }

    fn row(name: &str, phase: &str) -> ClusterRow {
        let target = json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
                "metadata": {"name": name, "namespace": "fleet"}, "spec": {"clusterName": name},
                "status": {"phase": phase, "integrations": [
                    {"name": "argocd", "type": "argocd", "phase": phase, "reason": "ComponentNotReady"},
                    {"name": "mesh", "type": "istio", "phase": "Running", "reason": "Healthy"}]}});
        ClusterRow::from(&serde_json::from_value::<IntegrationTarget>(target).unwrap())
    }
}
