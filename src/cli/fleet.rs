//! `ksit fleet`

use kube::api::ObjectMeta;
use kube::{Api, ResourceExt};
use serde::Serialize;

use super::CliError;
use super::hub::{HubArgs, Shown};
use super::table::table;
use crate::api::{Integration, TargetCounts};
use crate::domain::verdict::Phase;
use crate::hub::Lenient;

/// Show all Integrations with their clusters counted by state, worst first.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    hub: HubArgs,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

pub async fn run(args: Args) -> Result<(), CliError> {
    let client = args.hub.client().await?;
    let api: Api<Lenient<Integration>> = match (&args.hub.place.namespace, args.all_namespaces) {
        (_, true) => Api::all(client),
        (Some(namespace), false) => Api::namespaced(client, namespace),
        (None, false) => Api::default_namespaced(client),
    };
    args.hub.show(async || Ok(Fleet::from(api.list(&Default::default()).await?.items))).await
}

#[derive(Serialize)]
#[serde(transparent)]
struct Fleet(Vec<Line>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    namespace: String,
    name: String,
    #[serde(rename = "type")]
    type_: String,
    phase: String,
    targets: TargetCounts,
    message: String,
}

impl From<Integration> for Line {
    fn from(integration: Integration) -> Self {
        let (namespace, name) = (integration.namespace().unwrap_or_default(), integration.name_any());
        let status = integration.status.unwrap_or_default();
        Self {
            namespace,
            name,
            type_: integration.spec.type_,
            phase: status.phase.unwrap_or_else(|| Phase::Initializing.as_str().to_owned()),
            targets: status.targets.unwrap_or_default(),
            message: status.message.unwrap_or_default(),
        }
    }
}

impl Line {
    fn unreadable(metadata: ObjectMeta, error: &str) -> Self {
        Self {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            type_: "<unknown>".to_owned(),
            phase: Phase::Unknown.as_str().to_owned(),
            targets: TargetCounts::default(),
            message: format!("can't be read and is left alone ({error}); mend it or delete it"),
        }
    }
}

impl From<Vec<Lenient<Integration>>> for Fleet {
    fn from(integrations: Vec<Lenient<Integration>>) -> Self {
        let line = |integration| match integration {
            Lenient::Read(integration) => Line::from(*integration),
            Lenient::Unreadable { metadata, error } => Line::unreadable(*metadata, &error),
        };
        let mut lines: Vec<Line> = integrations.into_iter().map(line).collect();
        lines.sort_by_cached_key(|line| {
            let bad = line.targets.failed + line.targets.unknown;
            (Phase::parse(&line.phase), std::cmp::Reverse(bad), line.namespace.clone(), line.name.clone())
        });
        Self(lines)
    }
}

impl Shown for Fleet {
    fn text(&self, wide: bool) -> String {
        if self.0.is_empty() {
            return "No Integrations found; -A looks in all namespaces.\n".to_owned();
        }
        let heads = [
            "NAMESPACE",
            "INTEGRATION",
            "TYPE",
            "PHASE",
            "HEALTHY",
            "FAILED",
            "UNKNOWN",
            "WAITING",
            "PAUSED",
            "ABSENT",
        ];
        let rows: Vec<Vec<String>> = self.0.iter().map(|line| line.cells(wide)).collect();
        if wide { table(&[&heads[..], &["MESSAGE"]].concat(), &rows) } else { table(&heads, &rows) }
    }
}

impl Line {
    fn cells(&self, wide: bool) -> Vec<String> {
        let TargetCounts { total, running, failed, unknown, initializing, paused, not_installed } = self.targets;
        let mut cells = vec![
            self.namespace.clone(),
            self.name.clone(),
            self.type_.clone(),
            self.phase.clone(),
            format!("{running}/{}", total - paused - not_installed),
        ];
        cells.extend([failed, unknown, initializing, paused, not_installed].map(|count| count.to_string()));
        if wide {
            cells.push(self.message.clone());
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cli::table::assert_harmless;

    proptest! {
        #[test]
        fn fleet_shows_any_status_harmlessly(name: String, phase: String, message: String) {
            let object = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "Integration",
                "metadata": { "namespace": name, "name": name }, "spec": { "type": name },
                "status": { "phase": phase, "message": message } });
            let integration = Lenient::Read(Box::new(serde_json::from_value(object).unwrap()));
            let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
            let unreadable = Lenient::Unreadable { metadata: Box::new(metadata), error: message };
            let fleet = Fleet::from(vec![integration, unreadable]);
            [false, true].iter().for_each(|wide| assert_harmless(&fleet.text(*wide)));
        }
    }
}
