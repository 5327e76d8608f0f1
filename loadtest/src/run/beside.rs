//! Comparators: other programs against the same simulated clusters, before the replicas start and where a script wants
//! it; a bare client against the same hub, when they have ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future, io, stream};
use http::header::{ACCEPT, HeaderValue};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, GetParams, ListParams, PostParams, Request};
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::clusters::Asked;
use super::fleet::secret_name;
use super::{Fleet, Measure, NAMESPACE, RunError};
use crate::usage::Usage;
use crate::{Process, installation, resources};

/// How long all is left alone before a start that is measured, and before the CPU of a comparator is.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// For all targets to be watched.
const PATIENCE: Duration = Duration::from_secs(600);

/// Statuses that are written to the hub, as many as twenty breaks and twenty mends a second have for a minute; and how
/// many at a time, as of a coordinator.
const WRITES: u32 = 2400;
const WRITES_PER_SECOND: u32 = 40;
const AT_A_TIME: usize = 8;

/// Secrets that a replica reads at a time.
const SECRET_READS: usize = 8;

/// As a replica asks for them: an API server takes less time for it than for JSON.
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf");

/// What `loadtest limit` prints when all is watched.
#[derive(Deserialize)]
struct Complete {
    seconds: f64,
}

/// Runs the floor in as many processes as there shall be replicas.
pub(super) async fn floor(fleet: &Fleet, processes: u32, duration: Duration) -> Result<Vec<Measure>, RunError> {
    eprintln!("the floor: {processes} processes of bare connections, and {} s of idleness", duration.as_secs());
    let (running, took) = watch_all(fleet, processes).await?;
    let pids: Vec<u32> = running.iter().map(Process::pid).collect();
    let mut measures = vec![until_watched("floor", took)];
    measures.extend(idle("floor", &pids, fleet, duration).await?);
    Ok(measures)
}

/// How long the floor takes to connect, beside something else: a machine is not as fast at all times.
pub(super) async fn floor_again(fleet: &Fleet, processes: u32) -> Result<Measure, RunError> {
    eprintln!("the floor again: {processes} processes of bare connections");
    let (_ending, took) = watch_all(fleet, processes).await?;
    Ok(until_watched("floor", took))
}

/// The same while a bare client reads of the hub what no start can do without: every target, and the Secret of each.
pub(super) async fn floor_with_hub(fleet: &Fleet, processes: u32) -> Result<Measure, RunError> {
    eprintln!("the floor with the hub: {processes} processes of bare connections, every target and its Secret");
    let ((_ending, watched), read) = future::try_join(watch_all(fleet, processes), read_hub(fleet, processes)).await?;
    eprintln!("the hub is read after {read:.1} s");
    Ok(until_watched("floor with the hub", watched.max(read)))
}

/// As a replica is allowed to, with all that comes thrown away; how many seconds it took.
async fn read_hub(fleet: &Fleet, replicas: u32) -> Result<f64, RunError> {
    let token = fleet.hub.service_account_token(NAMESPACE, installation::NAME).await?;
    let client = fleet.hub.client_with_token(&token).await?;
    let targets = resources::api(&client, NAMESPACE, "IntegrationTarget");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let began = Instant::now();
    client.request_text(Request::new(targets.resource_url()).list(&ListParams::default())?).await?;
    stream::iter(0..fleet.targets)
        .map(async |number| {
            let mut secret = Request::new(secrets.resource_url()).get(&secret_name(number), &GetParams::any())?;
            secret.headers_mut().insert(ACCEPT, PROTOBUF);
            io::copy(client.request_stream(secret).await?, &mut io::sink()).await?;
            Ok::<_, RunError>(())
        })
        .buffer_unordered(SECRET_READS * replicas as usize)
        .try_collect::<()>()
        .await?;
    Ok(began.elapsed().as_secs_f64())
}

fn until_watched(floor: &str, took: f64) -> Measure {
    Measure::new(&format!("{floor}: until every target is watched"), "s", vec![took], None)
}

async fn watch_all(fleet: &Fleet, processes: u32) -> Result<(Vec<Process>, f64), RunError> {
    let file = fleet.hub.dir().join("addresses.json");
    std::fs::write(&file, serde_json::to_string(&fleet.clusters.simulator()?.addresses())?)?;
    let program = std::env::current_exe()?;
    let logs = tempfile::tempdir_in(fleet.hub.dir())?;
    let log = |part: u32| logs.path().join(format!("floor-{part}.log"));
    let start = |part: u32| {
        let args = ["limit".to_owned(), file.display().to_string(), format!("--part={part}/{processes}")];
        Process::start("floor", &program, &args, &[], &log(part), None)
    };
    let mut running = (0..processes).map(start).collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let mut took: f64 = 0.0;
    for part in 0..processes {
        let seconds = loop {
            if let Some(complete) = complete(&log(part)) {
                break complete.seconds;
            }
            running[part as usize].check()?;
            if began.elapsed() > PATIENCE {
                return Err(running[part as usize].not_ready(PATIENCE).into());
            }
            sleep(Duration::from_millis(100)).await;
        };
        took = took.max(seconds);
    }
    eprintln!("the floor watches all after {took:.1} s");
    Ok((running, took))
}

fn complete(log: &Path) -> Option<Complete> {
    let text = std::fs::read_to_string(log).ok()?;
    text.lines().find(|line| line.starts_with('{')).and_then(|line| serde_json::from_str(line).ok())
}

/// Runs any operator with the hub's kubeconfig. Err if it asked no cluster anything: such figures mean nothing.
pub(super) async fn baseline(fleet: &Fleet, command: &str, duration: Duration) -> Result<Vec<Measure>, RunError> {
    eprintln!("the baseline for {} s: {command}", duration.as_secs());
    fleet.name_clusters().await?;
    let kubeconfig = fleet.hub.kubeconfig_path().display().to_string();
    let log: PathBuf = fleet.hub.dir().join("baseline.log");
    let args = ["-c".to_owned(), format!("exec {command}")];
    let before = fleet.clusters.asked()?;
    let mut process = Process::start("baseline", Path::new("sh"), &args, &[("KUBECONFIG", &kubeconfig)], &log, None)?;
    let measures = idle("baseline", &[process.pid()], fleet, duration).await?;
    process.check()?;
    let requests = |asked: Option<Asked>| asked.map(|asked| asked.requests());
    if requests(before).is_some() && requests(before) == requests(fleet.clusters.asked()?) {
        let log = process.log_end();
        return Err(format!("--baseline: {command}: it asked no cluster anything; the end of its log:\n{log}").into());
    }
    drop(process);
    fleet.select_clusters().await?;
    Ok(measures)
}

/// What the hub takes to store statuses as large as they are, one of a target each, and nothing else.
pub(super) async fn hub_floor(fleet: &Fleet) -> Result<Vec<Measure>, RunError> {
    let api = resources::api(&fleet.client, NAMESPACE, "IntegrationTarget");
    let targets = api.list(&ListParams::default().limit(WRITES)).await?.items;
    // The hub refuses statuses of former coordinators.
    let term = fleet.shard_map().await?["term"].take();
    eprintln!("the floor of the hub: {} statuses, {WRITES_PER_SECOND} a second", targets.len());
    sleep(QUIET).await;
    // The hub keeps for each writer which fields are its own: as ksit it writes over ksit's.
    let as_ksit = PostParams { field_manager: Some("ksit".to_owned()), ..PostParams::default() };
    let (start, before) = (Instant::now(), fleet.hub.api_server_usage()?);
    let took: Vec<f64> = stream::iter((0..).zip(targets))
        .map(async |(number, mut target)| {
            let due = start + Duration::from_secs(1) / WRITES_PER_SECOND * number;
            sleep_until(due).await;
            target.data["status"]["coordinatorTerm"] = term.clone();
            target.data["status"]["message"] = format!("written as number {number}").into();
            api.replace_status(&target.name_any(), &as_ksit, &target).await?;
            Ok::<_, RunError>(due.elapsed().as_secs_f64())
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    let cores = fleet.hub.api_server_usage()?.cores_since(&before, start.elapsed());
    Ok(vec![
        Measure::new("floor: a status is due until it is stored", "s", took, None),
        Measure::new("floor: hub: CPU of the API server", "cores", vec![cores], None),
    ])
}

/// What the processes take while nothing happens.
async fn idle(name: &str, pids: &[u32], fleet: &Fleet, duration: Duration) -> Result<Vec<Measure>, RunError> {
    let usage = || pids.iter().map(|pid| Usage::of(*pid)).collect::<Result<Vec<_>, _>>().map(Usage::sum);
    sleep(QUIET).await;
    let (start, before, asked) = (Instant::now(), usage()?, fleet.clusters.asked()?);
    sleep(duration).await;
    let (now, elapsed) = (usage()?, start.elapsed());
    let of_each = |total: u64| vec![total as f64 / f64::from(fleet.targets)];
    let mut measures = vec![
        Measure::new(&format!("{name}: memory per target"), "KiB", of_each(now.pss), None),
        Measure::new(&format!("{name}: memory"), "MiB", vec![now.pss as f64 / 1024.0], None),
        Measure::new(&format!("{name}: CPU"), "cores", vec![now.cores_since(&before, elapsed)], None),
        Measure::new(&format!("{name}: open files"), "", vec![now.fds as f64], None),
    ];
    if let (Some(before), Some(now)) = (asked, fleet.clusters.asked()?) {
        let asked = (now.requests() - before.requests()) as f64 / elapsed.as_secs_f64();
        measures.push(Measure::new(&format!("{name}: requests to targets"), "/s", vec![asked], None));
    }
    Ok(measures)
}
