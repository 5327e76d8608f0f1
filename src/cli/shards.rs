//! `ksit shards`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use super::hub::{Hub, HubArgs, Shown};
use super::output::print;
use super::table::table;
use super::{CliError, duration};
use crate::api::{ReplicaLoad, ShardMap};
use crate::domain::escape::escape;
use crate::domain::slot::{Slot, SlotSet};
use crate::lists::Freshness;

/// Show how much of the fleet each replica owns, which one coordinates, and how fresh the data is.
///
/// OLDEST is the current age of a replica's oldest observation: it grows while no replica leads.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    hub: HubArgs,
    /// List all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// First wait until every slot has an owner and the coordinator has written; fail if that takes longer.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    settled_within: Option<Duration>,
    /// Exit with 1 if there is no map, if no replica leads, if no coordinator has written for three rounds, or if slots
    /// have no owner.
    #[arg(long, conflicts_with = "watch")]
    check: bool,
}

/// Poll interval while waiting for settled shards.
const POLL: Duration = Duration::from_millis(500);

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let read = async |hub: Hub| {
        let api: Api<ShardMap> = hub.api(args.all_namespaces);
        let found = api.list(&Default::default()).await.map_err(|error| hub.fault(&error))?;
        Ok::<_, CliError>(Map::read_all(&hub, found.items).await)
    };
    if let Some(timeout) = args.settled_within {
        let hub = args.hub.flags.hub().await?;
        wait_until_settled(timeout, &async || read(hub.clone()).await).await?;
    }
    let Maps(maps) = args.hub.show(async |hub| Ok(Maps(read(hub).await?))).await?;
    let is_well = !maps.is_empty() && maps.iter().all(|map| map.faults().is_empty());
    Ok(if args.check && !is_well { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Returns once every slot of every map has an owner and each map's status is newer than at first, which distinguishes
/// a live coordinator from a map that a dead one left.
async fn wait_until_settled(
    timeout: Duration,
    read: &impl AsyncFn() -> Result<Vec<Map>, CliError>,
) -> Result<(), CliError> {
    let end = Instant::now() + timeout;
    let mut first = BTreeMap::new();
    loop {
        let maps = read().await?;
        let is_settled = |map: &Map, seen: &Option<String>| map.orphans() == 0 && map.observed_at != *seen;
        let all = maps.iter().all(|map| {
            let seen = first.entry((map.namespace.clone(), map.installation.clone()));
            is_settled(map, seen.or_insert_with(|| map.observed_at.clone()))
        });
        if all && !maps.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            print(&Maps(maps).text(true))?;
            return Err(format!("the shards were not settled within {} s", timeout.as_secs()).into());
        }
        tokio::time::sleep(POLL).await;
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Maps(Vec<Map>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Map {
    namespace: String,
    installation: String,
    term: i64,
    epoch: i64,
    coordinator: String,
    /// Address for reports.
    address: Option<String>,
    /// Time of the last status write.
    observed_at: Option<String>,
    /// Time since then.
    age_seconds: Option<u64>,
    replicas: Vec<Replica>,
    #[serde(skip)]
    freshness: Freshness,
    #[serde(skip)]
    namespaces: Option<Vec<String>>,
    /// Reason that no replica leads, from the coordinator's Lease. Also `None` if the Lease can't be read.
    #[serde(skip)]
    leaderless: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replica {
    name: String,
    slots: usize,
    slot_ranges: String,
    /// `None`: not written since the replica joined.
    targets: Option<u32>,
    /// Current age.
    oldest_observation_seconds: Option<u64>,
}

impl Map {
    /// Combines the map with its Lease; `now` is the hub's time.
    pub(super) async fn read(client: &Client, map: ShardMap, now: Timestamp) -> Self {
        let leases: Api<Lease> = Api::namespaced(client.clone(), &map.namespace().unwrap_or_default());
        let lease = leases.get_opt(&format!("{}-coordinator", map.name_any())).await;
        let leaderless = lease.ok().and_then(|lease| leaderless(lease.and_then(|lease| lease.spec), now));
        Self { leaderless, ..Self::new(map, now) }
    }

    async fn read_all(hub: &Hub, found: Vec<ShardMap>) -> Vec<Self> {
        let (now, mut maps) = (hub.now().await, Vec::new());
        for map in found {
            maps.push(Self::read(&hub.client, map, now).await);
        }
        maps
    }

    /// Whether the installation is known not to watch a namespace.
    fn is_known_to_ignore(&self, namespace: &str) -> bool {
        let namespaces = self.namespaces.as_deref().unwrap_or_default();
        self.leaderless.is_some() || !namespaces.is_empty() && namespaces.iter().all(|watched| watched != namespace)
    }

    /// The installation's name and the namespaces that it watches.
    fn title(&self) -> String {
        let state = match (&self.leaderless, &self.namespaces) {
            (Some(why), _) => why.clone(),
            (None, namespaces) => format!("it watches {}", namespaces.as_deref().unwrap_or_default().join(", ")),
        };
        format!("{}/{} ({state})", self.namespace, self.installation)
    }

    fn new(map: ShardMap, now: Timestamp) -> Self {
        let (namespace, installation) = (map.namespace().unwrap_or_default(), map.name_any());
        let status = map.status.unwrap_or_default();
        let freshness = Freshness::of(&status, now);
        let age = freshness.age.unwrap_or_default().as_secs();
        let load = |name: &str| status.replicas.iter().find(|load: &&ReplicaLoad| load.name == name);
        let replicas = map.spec.members.into_iter().map(|member| Replica {
            slots: member.slots.parse::<SlotSet>().unwrap_or_default().len(),
            targets: load(&member.name).map(|load| load.targets),
            oldest_observation_seconds: load(&member.name)
                .and_then(|load| Some(u64::from(load.oldest_observation_seconds?).saturating_add(age))),
            slot_ranges: member.slots,
            name: member.name,
        });
        Self {
            replicas: replicas.collect(),
            namespace,
            installation,
            term: map.spec.term,
            epoch: map.spec.epoch,
            coordinator: map.spec.coordinator.name,
            address: map.spec.coordinator.address,
            observed_at: status.observed_at,
            age_seconds: freshness.age.map(|age| age.as_secs()),
            freshness,
            namespaces: status.watched_namespaces,
            leaderless: None,
        }
    }
}

/// The maps of all namespaces; `None` if they can't be listed.
pub(super) async fn all_maps(hub: &Hub) -> Option<Vec<Map>> {
    let found = hub.api::<ShardMap>(true).list(&Default::default()).await.ok()?;
    Some(Map::read_all(hub, found.items).await)
}

/// The reason that no installation watches a namespace, if that is known.
pub(super) fn unwatched(namespace: &str, maps: &[Map]) -> Option<String> {
    if !maps.iter().all(|map| map.is_known_to_ignore(namespace)) {
        return None;
    }
    let others = match maps {
        [] => "none has led on this hub yet".to_owned(),
        maps => format!("found {}", maps.iter().map(Map::title).collect::<Vec<_>>().join("; ")),
    };
    Some(format!("no installation of ksit watches namespace {namespace}: {others}"))
}

/// The reason that no replica leads, if so: the Lease is free or has expired.
fn leaderless(lease: Option<LeaseSpec>, now: Timestamp) -> Option<String> {
    let LeaseSpec { holder_identity, renew_time, lease_duration_seconds, .. } = lease.unwrap_or_default();
    if holder_identity.unwrap_or_default().is_empty() {
        return Some("nobody leads".to_owned());
    }
    let (renewed, lasts) = (renew_time?.0, SignedDuration::from_secs(lease_duration_seconds?.into()));
    let silent = now.duration_since(renewed);
    // One second of tolerance: the hub's time has no fractions.
    (silent > lasts + SignedDuration::from_secs(1)).then(|| {
        let silent = SignedDuration::from_secs(silent.as_secs());
        format!("nobody leads: the coordinator has not renewed its Lease for {silent:#}")
    })
}

impl Shown for Maps {
    fn text(&self, wide: bool) -> String {
        if self.0.is_empty() {
            return "No ShardMap found: no replica of ksit has led here yet; use -A for all namespaces.\n".to_owned();
        }
        self.0.iter().map(|map| map.text(wide)).collect::<Vec<_>>().join("\n")
    }
}

impl Map {
    pub(super) fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Reasons not to trust the data shown.
    pub(super) fn faults(&self) -> Vec<String> {
        let orphans = self.orphans();
        let faults = [
            self.freshness.is_stale().then(|| self.freshness.words()),
            self.leaderless.clone(),
            (orphans > 0).then(|| format!("{orphans} of {} slots have no owner", Slot::COUNT)),
        ];
        faults.into_iter().flatten().collect()
    }

    /// Slots without an owner.
    fn orphans(&self) -> usize {
        Slot::COUNT.saturating_sub(self.replicas.iter().map(|replica| replica.slots).sum())
    }

    fn text(&self, wide: bool) -> String {
        let Self { namespace, installation, term, epoch, coordinator, .. } = self;
        let [namespace, installation, coordinator] = [namespace, installation, coordinator].map(|name| escape(name));
        let mut text = format!("{namespace}/{installation}: coordinator {coordinator}, term {term}, epoch {epoch}");
        self.faults().iter().for_each(|fault| text.push_str(&format!("; {fault}")));
        if wide {
            let or_none =
                |text: &Option<String>| text.as_deref().map_or("<none>".into(), |text| escape(text).into_owned());
            let (address, observed) = (or_none(&self.address), or_none(&self.observed_at));
            text.push_str(&format!("\nreports to {address}; loads as of {observed}"));
        }
        let heads = ["REPLICA", "ROLE", "SLOTS", "TARGETS", "OLDEST"];
        let rows: Vec<Vec<String>> = self.replicas.iter().map(|replica| self.cells(replica, wide)).collect();
        let body = if wide { table(&[&heads[..], &["RANGES"]].concat(), &rows) } else { table(&heads, &rows) };
        format!("{text}\n{body}")
    }

    fn cells(&self, replica: &Replica, wide: bool) -> Vec<String> {
        let role = if replica.name == self.coordinator { "coordinator" } else { "worker" };
        let number =
            |number: Option<u64>, unit: &str| number.map_or("-".to_owned(), |number| format!("{number}{unit}"));
        let mut cells = vec![
            replica.name.clone(),
            role.to_owned(),
            replica.slots.to_string(),
            number(replica.targets.map(u64::from), ""),
            number(replica.oldest_observation_seconds, "s"),
        ];
        if wide {
            cells.push(replica.slot_ranges.clone());
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

    #[test]
    fn free_or_expired_lease_means_nobody_leads() {
        let lease = |holder: &str| {
            serde_json::from_value(json!({ "holderIdentity": holder, "leaseDurationSeconds": 10,
                "renewTime": "2026-01-01T12:00:00.900000Z" }))
            .unwrap()
        };
        let at = |lease: Option<LeaseSpec>, now: &str| leaderless(lease, now.parse().unwrap());
        assert_eq!(at(lease("ksit-0"), "2026-01-01T12:00:11Z"), None);
        assert_eq!(
            at(lease("ksit-0"), "2026-01-01T12:01:12Z").unwrap(),
            "nobody leads: the coordinator has not renewed its Lease for 1m 11s"
        );
        assert_eq!(at(lease(""), "2026-01-01T12:00:01Z").unwrap(), "nobody leads");
        assert_eq!(at(None, "2026-01-01T12:00:01Z").unwrap(), "nobody leads");
    }

    proptest! {
        #[test]
        fn shards_show_any_map_harmlessly(name: String, slots: String, address: String) {
            let object = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "ShardMap",
                "metadata": { "namespace": name, "name": name },
                "spec": { "term": 1, "epoch": 1,
                    "coordinator": { "name": name, "podUID": name, "podUid": name, "nonce": name, "address": address },
                    "members": [{ "name": name, "podUID": name, "podUid": name, "nonce": name, "slots": slots }] },
                "status": { "observedAt": address, "replicas": [] } });
            let maps = Maps(vec![Map::new(serde_json::from_value(object).unwrap(), Timestamp::UNIX_EPOCH)]);
            [false, true].iter().for_each(|wide| assert_harmless(&maps.text(*wide)));
        }
    }
}
