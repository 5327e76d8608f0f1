//! `ksit operator`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures::{Stream, stream};
use kube::Config;
use tokio::signal::unix::{SignalKind, signal};

use rand::distr::{Alphanumeric, SampleString};

use super::{CliError, duration, own_kubeconfig};
use crate::controllers::descriptors::Descriptors;
use crate::controllers::operator::{self, OperatorConfig};
use crate::controllers::worker::CheckBy;
use crate::domain::member::Timing;
use crate::domain::renewal::SHORTEST_TTL;
use crate::domain::replica::Incarnation;
use crate::hub::{HubAccess, Silence, cause, hub_addresses};
use crate::observability::{LogFormat, TargetMetrics, init_logs};
use crate::targets::kubeconfig::{HubAddresses, Policy, ProxyRule, TargetRule};

/// Characters for slightly more than 128 bits.
const NONCE_LENGTH: usize = 22;

/// Run one replica of the operator against a hub cluster.
///
/// It watches Integrations and IntegrationTargets on the hub, reads every target with the kubeconfig from its Secret
/// (and never writes there), and maintains the statuses on the hub. Every flag can also be set by its environment
/// variable; if a flag is repeated, the last one wins.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Args {
    /// Kubeconfig of the hub; default: $KUBECONFIG, else ~/.kube/config, else the Pod's ServiceAccount.
    #[arg(long, env = "KSIT_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespaces to watch, comma-separated; default: all.
    #[arg(long, env = "KSIT_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    watch_namespaces: Vec<String>,
    /// Watch the metadata of Secrets in these namespaces, so that a new kubeconfig takes effect at once. Otherwise a
    /// Secret is read again when the cluster refuses its credential, and every 10 minutes. Needs `list, watch` of
    /// Secrets.
    #[arg(long, env = "KSIT_WATCH_SECRETS")]
    watch_secrets: bool,
    /// Name of this replica; default: $POD_NAME, else the hostname.
    #[arg(long, env = "KSIT_REPLICA", value_name = "NAME")]
    replica: Option<String>,
    /// UID of this replica's Pod; default: $POD_UID. Without one, other replicas reject this replica, so it must run
    /// alone.
    #[arg(long, env = "KSIT_POD_UID", value_name = "UID")]
    pod_uid: Option<String>,
    /// Namespace of the Leases and the ShardMap; default: $POD_NAMESPACE, else the namespace of the kubeconfig's
    /// context.
    #[arg(long, env = "KSIT_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Time without a Lease renewal after which a replica counts as dead.
    #[arg(long, env = "KSIT_LEASE_DURATION", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    lease_duration: Duration,
    /// How often a replica renews its Lease.
    #[arg(long, env = "KSIT_LEASE_RENEW_INTERVAL", default_value = "3s", value_parser = duration,
        value_name = "DURATION")]
    lease_renew_interval: Duration,
    /// Address on which the coordinator accepts reports from other replicas.
    #[arg(long, env = "KSIT_REPORT_BIND_ADDRESS", default_value = ":9443", value_parser = listen_address,
        value_name = "ADDRESS")]
    report_bind_address: SocketAddr,
    /// Host under which other replicas reach that address; default: $POD_IP, else the address itself.
    #[arg(long, env = "KSIT_REPORT_ADDRESS", value_name = "HOST")]
    report_address: Option<String>,
    /// File with this Pod's ServiceAccount token for the audience reports.ksit.io.
    #[arg(long, env = "KSIT_REPORT_TOKEN_FILE", value_name = "FILE")]
    report_token_file: Option<PathBuf>,
    /// Name of this installation and of its ShardMap; also part of managedBy in statuses.
    #[arg(long, env = "KSIT_INSTALLATION", default_value = "ksit", value_name = "NAME")]
    installation: String,
    /// Interval between checks of a cluster whose Integrations set none.
    #[arg(long, env = "KSIT_INTERVAL", default_value = "30s", value_parser = duration, value_name = "DURATION")]
    interval: Duration,
    /// Time limit of one round: connecting, sending all requests, reading the responses.
    #[arg(long, env = "KSIT_ROUND_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    round_timeout: Duration,
    /// Consecutive rounds that must fail with a transient cause (timeout, 5xx, reset) before a cluster is Unreachable.
    #[arg(long, env = "KSIT_FAILURE_THRESHOLD", default_value_t = 3, value_name = "ROUNDS",
        value_parser = clap::value_parser!(u32).range(1..=100))]
    failure_threshold: u32,
    /// How clusters are checked. With auto, a cluster that offers no watches is polled, and its status says why.
    #[arg(long, env = "KSIT_CHECK_MODE", value_enum, default_value_t = CheckMode::Auto)]
    check_mode: CheckMode,
    /// Concurrent rounds of connected clusters that need more than a liveness request: 256 rounds of 20 ms each are
    /// 12,000 per second. Failing clusters get at most 30 % of them, for 1 s each.
    #[arg(long, env = "KSIT_MAX_CONCURRENT_RECONCILES", default_value_t = 256, value_name = "ROUNDS",
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    max_concurrent_reconciles: u16,
    /// Concurrent connection attempts to clusters. Failing clusters get at most 30 % of them, and a cluster whose
    /// network is down occupies one for 1 s: 128 allow 2,300 such attempts per minute.
    #[arg(long, env = "KSIT_MAX_CONCURRENT_CONNECTS", default_value_t = 128, value_name = "CONNECTIONS",
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    max_concurrent_connects: u16,
    /// Maximum rate of status writes to the hub, per second. Failing statuses go first; bursts of eight are allowed.
    #[arg(long, env = "KSIT_STATUS_WRITES_PER_SECOND", default_value_t = 100, value_name = "WRITES",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    status_writes_per_second: u32,
    /// Address that serves /livez, /readyz and /metrics.
    #[arg(long, env = "KSIT_METRICS_BIND_ADDRESS", default_value = ":8080", value_parser = listen_address,
        value_name = "ADDRESS")]
    metrics_bind_address: SocketAddr,
    /// Metrics per cluster and per tool on it, from the coordinator: whether it is healthy, and if not, why and since
    /// when.
    #[arg(long, env = "KSIT_TARGET_METRICS", value_enum, default_value_t, num_args = 0..=1,
        default_missing_value = "on", require_equals = true)]
    target_metrics: TargetMetrics,
    /// Time to write queued statuses after SIGTERM. A second signal exits immediately.
    #[arg(long, env = "KSIT_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    drain_timeout: Duration,
    /// Allow kubeconfigs that point at this machine, for tests and demos.
    #[arg(long, env = "KSIT_ALLOW_LOOPBACK_TARGETS")]
    allow_loopback_targets: bool,
    /// Hosts that the kubeconfig of a target may have as its server, and the receiver of a Notifier, comma-separated:
    /// networks such as 10.0.0.0/8, addresses, names and *.example.com; with a leading ! those it may not have.
    /// Default: all but loopback, link-local and metadata addresses and the hub's own, which are always refused.
    #[arg(long, env = "KSIT_TARGET_NETWORKS", value_delimiter = ',', value_name = "RULES")]
    target_networks: Vec<TargetRule>,
    /// Namespaces whose IntegrationTargets may use spec.access, comma-separated. The right to write them there is
    /// the right to choose the server that receives a token of ksit's own identity. Default: none.
    #[arg(long, env = "KSIT_ACCESS_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    access_namespaces: Vec<String>,
    /// Follow the ClusterProfiles (Cluster Inventory API) in these namespaces, for spec.access.clusterProfile. The
    /// right to write their status is the right to choose the server. Needs `list, watch` of them.
    #[arg(long, env = "KSIT_CLUSTER_PROFILES")]
    cluster_profiles: bool,
    /// Lifetime of the tokens for spec.access.oidc, which the hub makes: at least 10m.
    #[arg(long, env = "KSIT_OIDC_TOKEN_LIFETIME", default_value = "1h", value_parser = duration,
        value_name = "DURATION")]
    oidc_token_lifetime: Duration,
    /// Renew the tokens that ksit target add --token-ttl made, before they end: ksit asks the target for the next one,
    /// and puts it into the Secret on the hub. Needs `patch` of Secrets.
    #[arg(long, env = "KSIT_RENEW_TOKENS")]
    renew_tokens: bool,
    /// Proxies that the kubeconfig of a target may name as proxy-url, comma-separated: host or host:port, networks
    /// such as 10.0.0.0/8, and *.example.com. Default: none.
    #[arg(long, env = "KSIT_ALLOW_PROXIES", value_delimiter = ',', value_name = "PROXIES")]
    allow_proxies: Vec<ProxyRule>,
    /// Text for people, JSON for machines.
    #[arg(long, env = "KSIT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// error, warn, info, debug, trace, or a filter such as info,ksit=debug.
    #[arg(long, env = "KSIT_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum CheckMode {
    /// Watch the cluster for changes.
    Auto,
    /// List everything once per interval.
    Poll,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    init_logs(args.log_format, &args.log_level)?;
    validate(&args)?;
    let descriptors = Descriptors::raise();
    let config = hub_config(args.kubeconfig.as_ref()).await?;
    let namespace = config.default_namespace.clone();
    let server = config.cluster_url.clone();
    let unanswered = |error: &(dyn std::error::Error + 'static)| format!("the hub {server} {}", cause(error));
    let access = HubAccess::to(config, Silence::default()).await.map_err(|error| unanswered(&*error))?;
    let client = access.client().map_err(|error| unanswered(&error))?;
    let version = client.apiserver_version().await.map_err(|error| unanswered(&error))?;
    tracing::info!(version = version.git_version, "connected to the hub");
    let addresses = hub_addresses(&client, access.server()).await.unwrap_or_else(|some| some);
    if addresses.is_empty() {
        tracing::warn!(%server, "the hub's addresses are not known yet: until then a target may point at the hub");
    }
    let config = operator_config(args, addresses.into(), namespace, descriptors)?;
    operator::run(config, access, termination()?).await?;
    Ok(())
}

/// Validates flags that depend on each other.
fn validate(args: &Args) -> Result<(), CliError> {
    if args.round_timeout > args.interval.saturating_mul(10) {
        return Err("--round-timeout: longer than ten intervals; a cluster would be stale before it has failed".into());
    }
    if args.lease_renew_interval * 3 > args.lease_duration || args.lease_duration.as_secs() < 5 {
        return Err("--lease-duration: must be at least 5s and three times --lease-renew-interval".into());
    }
    if args.oidc_token_lifetime < SHORTEST_TTL {
        return Err("--oidc-token-lifetime: API servers make no tokens that last less than 10m".into());
    }
    Ok(())
}

/// The identity of this process. Outside a Pod the replica name has to suffice.
fn incarnation(args: &Args) -> Result<Incarnation, CliError> {
    let hostname = || std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned());
    let named = args.replica.clone().or_else(|| std::env::var("POD_NAME").ok()).or_else(hostname);
    let name = named.filter(|name| !name.is_empty()).ok_or("--replica: give this replica a name")?;
    if name == format!("{}-coordinator", args.installation) {
        return Err("--replica: that is the name of the coordinator's Lease; choose another".into());
    }
    let pod_uid = args.pod_uid.clone().or_else(|| std::env::var("POD_UID").ok()).filter(|uid| !uid.is_empty());
    let nonce = Alphanumeric.sample_string(&mut rand::rng(), NONCE_LENGTH);
    Ok(Incarnation::new(name, pod_uid.unwrap_or_else(|| "no-pod".to_owned()), nonce))
}

fn operator_config(
    args: Args,
    hub_addresses: HubAddresses,
    namespace: String,
    descriptors: Descriptors,
) -> Result<OperatorConfig, CliError> {
    let from_env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Ok(OperatorConfig {
        me: incarnation(&args)?,
        namespace: args.namespace.or_else(|| from_env("POD_NAMESPACE")).unwrap_or(namespace),
        timing: Timing {
            lease: args.lease_duration,
            renew: args.lease_renew_interval,
            round: args.interval,
            rejoin_grace: args.lease_duration,
            ..Timing::default()
        },
        report_bind_address: args.report_bind_address,
        report_host: args.report_address.or_else(|| from_env("POD_IP")),
        report_token_file: args.report_token_file,
        installation: args.installation,
        namespaces: args.watch_namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
        watch_secrets: args.watch_secrets,
        round_deadline: args.round_timeout,
        failure_threshold: args.failure_threshold,
        check_by: match args.check_mode {
            CheckMode::Auto => CheckBy::Auto,
            CheckMode::Poll => CheckBy::Poll,
        },
        access_namespaces: args.access_namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
        oidc_token_lifetime: args.oidc_token_lifetime,
        renew_tokens: args.renew_tokens,
        cluster_profiles: args.cluster_profiles,
        target_metrics: args.target_metrics,
        max_concurrent_reconciles: args.max_concurrent_reconciles.into(),
        max_concurrent_connects: args.max_concurrent_connects.into(),
        status_writes_per_second: args.status_writes_per_second,
        metrics_address: args.metrics_bind_address,
        descriptors,
        drain_deadline: args.drain_timeout,
        policy: Policy {
            allow_loopback: args.allow_loopback_targets,
            hub_addresses,
            networks: args.target_networks.into_iter().collect(),
            proxies: args.allow_proxies.into_iter().collect(),
        },
    })
}

async fn hub_config(kubeconfig: Option<&PathBuf>) -> Result<Config, CliError> {
    let file = match (own_kubeconfig::read(kubeconfig.map(PathBuf::as_path)), Config::incluster()) {
        (Ok(file), _) => file,
        (Err(_), Ok(pod)) if kubeconfig.is_none() => return Ok(pod),
        (Err(error), _) if kubeconfig.is_none() => {
            return Err(format!("no hub: {error}, or run ksit in a Pod on the hub").into());
        }
        (Err(error), _) => return Err(error),
    };
    Ok(own_kubeconfig::config(&file, None).await?)
}

/// A stream of SIGTERM and SIGINT.
fn termination() -> Result<impl Stream<Item = ()> + Unpin, CliError> {
    let (term, int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(Box::pin(stream::unfold((term, int), |(mut term, mut int)| async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        Some(((), (term, int)))
    })))
}

/// Parses an address; `:8080` means all interfaces, as in Go.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.parse().map_err(|_| "write it as :8080 or 127.0.0.1:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_in_go() {
        assert_eq!(listen_address(":8080").unwrap(), "0.0.0.0:8080".parse().unwrap());
        assert_eq!(listen_address("127.0.0.1:0").unwrap(), "127.0.0.1:0".parse().unwrap());
        assert!(listen_address("8080").is_err());
    }
}
