//! Measures other programs for comparison: the bare-transport baseline and another operator (the comparator) against
//! the same simulated clusters, and a bare client against the same hub.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future, io, stream};
use http::header::{ACCEPT, HeaderValue};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, GetParams, ListParams, PostParams, Request};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use testkit::usage::Usage;
use testkit::{Process, installation, resources};
use tokio::time::{Instant, sleep, sleep_until};

use super::clusters::RequestCounts;
use super::fleet::secret_name;
use super::{Fleet, Measure, NAMESPACE, RunError};

/// Quiet time before a measured start and before an idle measurement.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// Time limit for all targets to be watched.
const PATIENCE: Duration = Duration::from_secs(600);

/// Status writes to the hub: the load of twenty breaks and twenty repairs a second for a minute.
const WRITES: u32 = 2400;
const WRITES_PER_SECOND: u32 = 40;
/// Concurrent status writes, as of a coordinator.
const CONCURRENT_WRITES: usize = 8;

/// Concurrent Secret reads per replica.
const CONCURRENT_SECRET_READS: usize = 8;

/// Format in which replicas request Secrets; cheaper for the API server than JSON.
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf");

/// Output of `loadtest limit` when all targets are watched.
#[derive(Deserialize)]
struct Complete {
    seconds: f64,
}

/// Runs the baseline with one process per replica, then idles for `duration`.
pub(super) async fn transport(fleet: &Fleet, processes: u32, duration: Duration) -> Result<Vec<Measure>, RunError> {
    eprintln!("baseline: {processes} processes with bare connections, then {} s idle", duration.as_secs());
    let (running, took) = watch_all(fleet, processes).await?;
    let pids: Vec<u32> = running.iter().map(Process::pid).collect();
    let mut measures = vec![until_watched("baseline", took)];
    measures.extend(idle("baseline", &pids, fleet, duration).await?);
    Ok(measures)
}

/// Measures the baseline's start again, right before another start, because the machine's speed varies over time.
pub(super) async fn transport_again(fleet: &Fleet, processes: u32) -> Result<Measure, RunError> {
    eprintln!("baseline again: {processes} processes with bare connections");
    let (_ending, took) = watch_all(fleet, processes).await?;
    Ok(until_watched("baseline", took))
}

/// Like [`transport_again`], while a bare client reads every target and its Secret from the hub, as any start must.
pub(super) async fn transport_with_hub(fleet: &Fleet, processes: u32) -> Result<Measure, RunError> {
    eprintln!("baseline with the hub: {processes} processes with bare connections, every target and its Secret");
    let ((_ending, watched), read) = future::try_join(watch_all(fleet, processes), read_hub(fleet, processes)).await?;
    eprintln!("hub read after {read:.1} s");
    Ok(until_watched("baseline with the hub", watched.max(read)))
}

/// A client with the identity and the rights of a replica.
async fn replica_client(fleet: &Fleet) -> Result<Client, RunError> {
    let token = fleet.hub.service_account_token(NAMESPACE, installation::NAME).await?;
    Ok(fleet.hub.client_with_token(&token).await?)
}

/// Reads targets and Secrets with a replica's rights, discards them, and returns the duration in seconds.
async fn read_hub(fleet: &Fleet, replicas: u32) -> Result<f64, RunError> {
    let client = replica_client(fleet).await?;
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
        .buffer_unordered(CONCURRENT_SECRET_READS * replicas as usize)
        .try_collect::<()>()
        .await?;
    Ok(began.elapsed().as_secs_f64())
}

fn until_watched(name: &str, took: f64) -> Measure {
    Measure::new(&format!("{name}: until every target is watched"), "s", vec![took], None)
}

async fn watch_all(fleet: &Fleet, processes: u32) -> Result<(Vec<Process>, f64), RunError> {
    let file = fleet.hub.dir().join("addresses.json");
    std::fs::write(&file, serde_json::to_string(&fleet.clusters.simulator()?.addresses())?)?;
    let program = std::env::current_exe()?;
    let logs = tempfile::tempdir_in(fleet.hub.dir())?;
    let log = |part: u32| logs.path().join(format!("baseline-{part}.log"));
    let start = |part: u32| {
        let args = ["limit".to_owned(), file.display().to_string(), format!("--part={part}/{processes}")];
        Process::start("baseline", &program, &args, &[], &log(part), None)
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
    eprintln!("baseline watches all targets after {took:.1} s");
    Ok((running, took))
}

fn complete(log: &Path) -> Option<Complete> {
    let text = std::fs::read_to_string(log).ok()?;
    text.lines().find(|line| line.starts_with('{')).and_then(|line| serde_json::from_str(line).ok())
}

/// Measures another operator, started with the hub's kubeconfig (`--baseline`). Fails if it sent no request to any
/// cluster, as the measures would be meaningless.
pub(super) async fn comparator(fleet: &Fleet, command: &str, duration: Duration) -> Result<Vec<Measure>, RunError> {
    eprintln!("comparator for {} s: {command}", duration.as_secs());
    fleet.name_clusters().await?;
    let kubeconfig = fleet.hub.kubeconfig_path().display().to_string();
    let log: PathBuf = fleet.hub.dir().join("comparator.log");
    let args = ["-c".to_owned(), format!("exec {command}")];
    let before = fleet.clusters.requests()?;
    let mut process = Process::start("comparator", Path::new("sh"), &args, &[("KUBECONFIG", &kubeconfig)], &log, None)?;
    let measures = idle("comparator", &[process.pid()], fleet, duration).await?;
    process.check()?;
    let total = |requests: Option<RequestCounts>| requests.map(|requests| requests.total());
    if total(before).is_some() && total(before) == total(fleet.clusters.requests()?) {
        let log = process.log_end();
        return Err(format!("--baseline: {command}: sent no request to any cluster; the end of its log:\n{log}").into());
    }
    drop(process);
    fleet.select_clusters().await?;
    Ok(measures)
}

/// Measures the hub alone: it stores one status per target, of the present size.
pub(super) async fn hub(fleet: &Fleet) -> Result<Vec<Measure>, RunError> {
    // The hub accepts statuses from replicas only.
    let client = replica_client(fleet).await?;
    let api = resources::api(&client, NAMESPACE, "IntegrationTarget");
    let targets = api.list(&ListParams::default().limit(WRITES)).await?.items;
    // The hub refuses statuses of former coordinators.
    let term = fleet.shard_map().await?["term"].take();
    eprintln!("baseline of the hub: {} statuses, {WRITES_PER_SECOND} a second", targets.len());
    sleep(QUIET).await;
    // The hub tracks field ownership per manager: as `ksit` this client overwrites ksit's fields.
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
        .buffer_unordered(CONCURRENT_WRITES)
        .try_collect()
        .await?;
    let cores = fleet.hub.api_server_usage()?.cores_since(&before, start.elapsed());
    Ok(vec![
        Measure::new("baseline: a status is due until it is stored", "s", took, None),
        Measure::new("baseline: hub: CPU of the API server", "cores", vec![cores], None),
    ])
}

/// Resource usage of the processes while nothing happens.
async fn idle(name: &str, pids: &[u32], fleet: &Fleet, duration: Duration) -> Result<Vec<Measure>, RunError> {
    let usage = || pids.iter().map(|pid| Usage::of(*pid)).collect::<Result<Vec<_>, _>>().map(Usage::sum);
    sleep(QUIET).await;
    let (start, before, requests) = (Instant::now(), usage()?, fleet.clusters.requests()?);
    sleep(duration).await;
    let (now, elapsed) = (usage()?, start.elapsed());
    let of_each = |total: u64| vec![total as f64 / f64::from(fleet.targets)];
    let mut measures = vec![
        Measure::new(&format!("{name}: memory per target"), "KiB", of_each(now.pss), None),
        Measure::new(&format!("{name}: memory"), "MiB", vec![now.pss as f64 / 1024.0], None),
        Measure::new(&format!("{name}: CPU"), "cores", vec![now.cores_since(&before, elapsed)], None),
        Measure::new(&format!("{name}: open files"), "", vec![now.fds as f64], None),
    ];
    if let (Some(before), Some(now)) = (requests, fleet.clusters.requests()?) {
        let rate = (now.total() - before.total()) as f64 / elapsed.as_secs_f64();
        measures.push(Measure::new(&format!("{name}: requests to targets"), "/s", vec![rate], None));
    }
    Ok(measures)
}
