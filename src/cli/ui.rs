//! `ksit ui`

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use tokio::net::TcpListener;

use super::CliError;
use super::history::days_or_duration;
use super::hub::{CREDENTIAL_LIFETIME, Hub, HubFlags};
use super::output::print;
use crate::history::Limits;
use crate::hub::may_list_all;
use crate::ui::{HistoryFile, Page, Source};

/// Show the fleet in a browser: problems by cause, clusters, versions, replicas.
///
/// On a laptop it uses your kubeconfig and your rights, listens on this machine alone, and prints a
/// URL that works once. It needs the rights to list and watch IntegrationTargets, Integrations and
/// ShardMaps, and writes nothing.
///
/// Examples:
///   ksit ui
///   ksit ui -n ksit-system --open
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    hub: HubFlags,
    /// Show these namespaces; default: all that you may list, else the context's.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", conflicts_with = "namespace")]
    namespaces: Vec<String>,
    /// Address and port to listen on; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    bind_address: SocketAddr,
    /// Open the page in the default browser.
    #[arg(long)]
    open: bool,
    /// Keep every change of a phase in this SQLite file, and show availability over 90 days.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Age at which changes leave the history.
    #[arg(long, default_value = "400d", value_parser = days_or_duration, value_name = "DURATION", requires = "history")]
    history_retention: Duration,
    /// Size of the history in MiB, at which the oldest changes leave it before their time.
    #[arg(long, default_value_t = 1024, value_name = "MIB", requires = "history")]
    history_max_size: u32,
    /// Let users sign in with a bearer token of the hub, and show each what it may list there. For a Deployment on the hub,
    /// behind TLS; needs the rights to create TokenReviews and SubjectAccessReviews.
    #[arg(long, conflicts_with = "open")]
    in_cluster: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    if !args.in_cluster && !args.bind_address.ip().is_loopback() {
        return Err(format!(
            "--bind-address {}: without --in-cluster the page is for this machine alone: use 127.0.0.1",
            args.bind_address
        )
        .into());
    }
    let hub = args.hub.hub().await?;
    let namespaces = shown_namespaces(&args, &hub).await?;
    let clock_offset = hub.now().await.duration_since(Timestamp::now());
    let listener = TcpListener::bind(args.bind_address)
        .await
        .map_err(|error| format!("--bind-address: can't listen on {}: {error}", args.bind_address))?;
    let current = Arc::new(RwLock::new(hub.watching.clone()));
    let page = if args.in_cluster {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        print(&format!("serving on http://{address}\n"))?;
        Page::in_cluster(listener, current_client(&current, &hub))
    } else {
        let (page, url) = Page::local(listener).map_err(|error| error.to_string())?;
        let shown = match &namespaces[..] {
            [] => "all namespaces".to_owned(),
            names => format!("namespace {}", names.join(", ")),
        };
        print(&format!("{url}\n\nShows {shown} of {}. The URL works once. Ctrl-C ends it.\n", hub.server))?;
        if args.open {
            open(&url)?;
        }
        page
    };
    let source =
        Source { client: current_client(&current, &hub), namespaces, clock_offset, history: args.history_file() };
    tokio::select! {
        never = renew(&args.hub, &current) => match never {},
        ended = page.serve(source) => match ended {
            Ok(never) => match never {},
            Err(error) => Err(error.to_string().into()),
        },
    }
}

impl Args {
    fn history_file(&self) -> Option<HistoryFile> {
        let bytes = u64::from(self.history_max_size) << 20;
        let limits = Limits { retention: self.history_retention, bytes };
        self.history.clone().map(|path| HistoryFile { path, limits })
    }
}

/// A client that sends each request with the newest credential.
fn current_client(current: &Arc<RwLock<Client>>, hub: &Hub) -> Client {
    let current = current.clone();
    let each = tower::service_fn(move |request: http::Request<Body>| {
        let client = current.read().unwrap_or_else(PoisonError::into_inner).clone();
        async move { client.send(request).await }
    });
    Client::new(each, hub.namespace.clone())
}

/// Reads the credential of the hub again from time to time: a plugin's token ends. Never returns.
async fn renew(flags: &HubFlags, current: &RwLock<Client>) -> Infallible {
    loop {
        tokio::time::sleep(CREDENTIAL_LIFETIME).await;
        // A failure shows when the hub refuses the old one.
        if let Ok(hub) = flags.hub().await {
            *current.write().unwrap_or_else(PoisonError::into_inner) = hub.watching;
        }
    }
}

/// The namespaces that are asked for, else all (empty) if the user may list them, else the context's.
async fn shown_namespaces(args: &Args, hub: &Hub) -> Result<Vec<String>, CliError> {
    if !args.namespaces.is_empty() {
        return Ok(args.namespaces.clone());
    }
    if let Some(namespace) = &args.hub.namespace {
        return Ok(vec![namespace.clone()]);
    }
    let is_allowed = may_list_all(&hub.client).await.map_err(|error| hub.fault(&error))?;
    Ok(if is_allowed { Vec::new() } else { vec![hub.namespace.clone()] })
}

fn open(url: &str) -> Result<(), CliError> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started = std::process::Command::new(program).arg(url).spawn();
    started.map(drop).map_err(|error| format!("--open: can't start {program}: {error}; open the URL yourself").into())
}
