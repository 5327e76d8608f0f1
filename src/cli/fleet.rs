//! `ksit fleet`

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use super::CliError;
use super::hub::{Hub, HubArgs, Shown};
use super::shards::{Map, all_maps, unwatched};
use super::table::table;
use crate::api::{Integration, ShardMap, TargetCounts};
use crate::domain::escape::escape;
use crate::domain::verdict::Phase;
use crate::hub::{Lenient, cause};

/// Show all Integrations with their clusters counted by state, worst first, and how fresh the counts are.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    hub: HubArgs,
    /// List all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Exit with 1 if no coordinator has ever written here or none has for three rounds, if no replica leads, if slots
    /// have no owner, or if no installation watches a namespace.
    #[arg(long, conflicts_with = "watch")]
    check: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let look = async |hub: Hub| {
        let api: Api<Lenient<Integration>> = hub.api(args.all_namespaces);
        let found = api.list(&Default::default()).await.map_err(|error| hub.fault(&error))?;
        let mut fleet = Fleet::from(found.items);
        let now = hub.now().await;
        fleet.date(&hub.client, now).await;
        fleet.mark_unwatched(&hub).await;
        Ok(fleet)
    };
    let fleet = args.hub.show(look).await?;
    let is_well = !fleet.installations.is_empty()
        && fleet.unwatched.is_empty()
        && fleet.installations.values().all(|found| found.faults().is_empty());
    Ok(if args.check && !is_well { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[derive(Serialize)]
#[serde(transparent)]
struct Fleet {
    lines: Vec<Line>,
    /// Keyed by `managedBy` of the statuses.
    #[serde(skip)]
    installations: BTreeMap<String, Found>,
    /// One line per namespace that no installation watches, with the reason.
    #[serde(skip)]
    unwatched: Vec<String>,
}

/// The ShardMap of an installation, or the reason that there is none to show.
enum Found {
    Map(Box<Map>),
    Missing(String),
}

impl Found {
    async fn of(client: &Client, installation: &str, now: Timestamp) -> Self {
        let Some((namespace, name)) = installation.split_once('/') else {
            return Self::Missing("no coordinator has written yet".to_owned());
        };
        match Api::<ShardMap>::namespaced(client.clone(), namespace).get_opt(name).await {
            Ok(Some(map)) => Self::Map(Box::new(Map::read(client, map, now).await)),
            Ok(None) => Self::Missing("its ShardMap does not exist: no coordinator is writing".to_owned()),
            Err(error) => Self::Missing(format!(
                "freshness unknown, because its ShardMap can't be read: the hub {}",
                cause(&error)
            )),
        }
    }

    fn map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            Self::Missing(_) => None,
        }
    }

    fn faults(&self) -> Vec<String> {
        match self {
            Self::Map(map) => map.faults(),
            Self::Missing(why) => vec![why.clone()],
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Map(map) if map.faults().is_empty() => map.freshness().words(),
            _ => self.faults().join("; "),
        }
    }
}

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
    /// Time of its coordinator's last sign of life, and its age.
    observed_at: Option<String>,
    age_seconds: Option<u64>,
    #[serde(skip)]
    managed_by: Option<String>,
    #[serde(skip)]
    is_unreadable: bool,
}

impl From<Integration> for Line {
    fn from(integration: Integration) -> Self {
        let (namespace, name) = (integration.namespace().unwrap_or_default(), integration.name_any());
        let status = integration.status.unwrap_or_default();
        let message = status.full_message().unwrap_or_default().to_owned();
        Self {
            namespace,
            name,
            message,
            type_: integration.spec.type_,
            phase: status.phase.unwrap_or_else(|| Phase::Initializing.as_str().to_owned()),
            targets: status.targets.unwrap_or_default(),
            managed_by: status.managed_by,
            is_unreadable: false,
            observed_at: None,
            age_seconds: None,
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
            message: format!("can't be read and is ignored ({error}); fix it or delete it"),
            managed_by: None,
            is_unreadable: true,
            observed_at: None,
            age_seconds: None,
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
            let TargetCounts { failed, unreachable, unknown, .. } = line.targets;
            let bad = failed.saturating_add(unreachable).saturating_add(unknown);
            (Phase::read(&line.phase), std::cmp::Reverse(bad), line.namespace.clone(), line.name.clone())
        });
        Self { lines, installations: BTreeMap::new(), unwatched: Vec::new() }
    }
}

impl Fleet {
    /// Looks up the freshness of each line.
    async fn date(&mut self, client: &Client, now: Timestamp) {
        for line in &mut self.lines {
            let Some(installation) = &line.managed_by else { continue };
            if !self.installations.contains_key(installation) {
                self.installations.insert(installation.clone(), Found::of(client, installation, now).await);
            }
            let map = self.installations.get(installation).and_then(Found::map);
            let freshness = map.map(Map::freshness);
            line.observed_at = freshness.and_then(|freshness| freshness.observed_at.clone());
            line.age_seconds = freshness.and_then(|freshness| Some(freshness.age?.as_secs()));
        }
    }

    /// Marks the lines whose status no installation will ever write.
    async fn mark_unwatched(&mut self, hub: &Hub) {
        let unwritten = |line: &&mut Line| line.managed_by.is_none() && !line.is_unreadable;
        if !self.lines.iter_mut().any(|line| unwritten(&line)) {
            return;
        }
        let Some(maps) = all_maps(hub).await else { return };
        for line in self.lines.iter_mut().filter(unwritten) {
            let Some(why) = unwatched(&line.namespace, &maps) else { continue };
            line.phase = Phase::Unknown.as_str().to_owned();
            line.message.clone_from(&why);
            if !self.unwatched.contains(&why) {
                self.unwatched.push(why);
            }
        }
    }

    /// One line per installation that wrote the statuses.
    fn dated(&self) -> String {
        match self.installations.len() {
            0 => "no coordinator has written here yet\n".to_owned(),
            1 => self.installations.values().map(|found| format!("{}\n", found.words())).collect(),
            _ => self
                .installations
                .iter()
                .map(|(name, found)| format!("{}: {}\n", escape(name), found.words()))
                .collect(),
        }
    }
}

impl Shown for Fleet {
    fn text(&self, wide: bool) -> String {
        if self.lines.is_empty() {
            return "No Integrations found; use -A for all namespaces.\n".to_owned();
        }
        let heads = [
            "NAMESPACE",
            "INTEGRATION",
            "TYPE",
            "PHASE",
            "HEALTHY",
            "DEGRADED",
            "FAILED",
            "UNREACHABLE",
            "UNKNOWN",
            "WAITING",
            "PAUSED",
            "ABSENT",
        ];
        let rows: Vec<Vec<String>> = self.lines.iter().map(|line| line.cells(wide)).collect();
        let lines = if wide { table(&[&heads[..], &["MESSAGE"]].concat(), &rows) } else { table(&heads, &rows) };
        let unwatched: String = self.unwatched.iter().map(|why| format!("{}\n", escape(why))).collect();
        format!("{lines}{unwatched}{}", self.dated())
    }
}

impl Line {
    fn cells(&self, wide: bool) -> Vec<String> {
        let TargetCounts {
            total,
            running,
            degraded,
            failed,
            unreachable,
            unknown,
            initializing,
            paused,
            not_installed,
        } = self.targets;
        let mut cells = vec![
            self.namespace.clone(),
            self.name.clone(),
            self.type_.clone(),
            self.phase.clone(),
            format!("{running}/{}", total.saturating_sub(paused).saturating_sub(not_installed)),
        ];
        cells.extend(
            [degraded, failed, unreachable, unknown, initializing, paused, not_installed]
                .map(|count| count.to_string()),
        );
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

    /// As after a manual edit of a status.
    #[test]
    fn inconsistent_counts_are_shown() {
        let object = json!({ "metadata": { "name": "flux" }, "spec": { "type": "flux" },
            "status": { "targets": { "total": 1, "paused": 2, "notInstalled": 3, "running": 1 } } });
        let fleet = Fleet::from(vec![Lenient::Read(Box::new(serde_json::from_value(object).unwrap()))]);
        assert!(fleet.text(false).contains("1/0"), "{}", fleet.text(false));
    }

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
