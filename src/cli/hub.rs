//! Connects to the hub with the user's credentials, and prints its objects.

use std::future::Future;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::client::Body;
use kube::config::Kubeconfig;
use kube::{Api, Client, Config, Resource};
use serde::Serialize;

use super::output::print;
use super::{CliError, duration, json, own_kubeconfig, yaml};
use crate::domain::escape::escape_lines;
use crate::hub::{cause, is_late, is_unknown_path, with_deadline};

/// Poll interval of --watch.
const REFRESH: Duration = Duration::from_secs(2);

/// With --watch and in `ksit ui`, time after which a plugin is asked for a new token. Cloud tokens last longer.
pub(super) const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// A credential plugin may wait for a login.
pub(super) const PLUGIN_TIMEOUT: Duration = Duration::from_secs(120);

/// Flags that select the hub.
#[derive(Debug, clap::Args)]
pub(super) struct HubFlags {
    /// Kubeconfig of the hub; default: $KUBECONFIG, else ~/.kube/config, else the Pod's ServiceAccount.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the hub; default: the current one.
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// Namespace; default: the context's.
    #[arg(short, long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// Time limit for each request to the hub.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub(super) request_timeout: Duration,
}

/// Flags that select the hub in a kubeconfig that has the clusters too.
#[derive(Debug, clap::Args)]
pub(super) struct BesideClusters {
    /// Kubeconfig with the contexts of the clusters and the hub; default: $KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the hub; default: the current one.
    #[arg(long, value_name = "NAME")]
    hub_context: Option<String>,
    /// Namespace on the hub; default: the namespace of the hub's context.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Time limit for each request to the hub and to each cluster.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub(super) request_timeout: Duration,
}

impl BesideClusters {
    /// As for the commands that need the hub alone.
    pub(super) fn flags(&self) -> HubFlags {
        let Self { kubeconfig, hub_context: context, namespace, request_timeout } = self;
        HubFlags {
            kubeconfig: kubeconfig.clone(),
            context: context.clone(),
            namespace: namespace.clone(),
            request_timeout: *request_timeout,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct HubArgs {
    #[command(flatten)]
    pub(super) flags: HubFlags,
    /// Output format: table, wide, json or yaml.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Print again on every change, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Wide,
    Json,
    Yaml,
}

/// The output of a command: text for people, data for programs.
pub(super) trait Shown: Serialize {
    fn text(&self, wide: bool) -> String;
}

/// A client of the hub with the user's credentials and a deadline for each request.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) client: Client,
    /// The same without a deadline, for watches.
    pub(super) watching: Client,
    /// From --namespace, else from the context.
    pub(super) namespace: String,
    /// URL of its API server.
    pub(super) server: String,
    /// Its address and context, for messages.
    name: String,
}

impl HubFlags {
    pub(super) async fn hub(&self) -> Result<Hub, CliError> {
        let (config, name) = match (self.file(), Config::incluster()) {
            (Ok(file), _) => {
                let context = self.context.as_deref().or(file.current_context.as_deref()).unwrap_or_default();
                let name = format!("context {context}");
                (self.config(&file).await.map_err(|error| format!("the hub ({name}): {error}"))?, name)
            }
            // The command also works in the operator's own Pod.
            (Err(_), Ok(pod)) if self.kubeconfig.is_none() && self.context.is_none() => {
                (pod, "the Pod's own".to_owned())
            }
            (Err(error), _) => return Err(error),
        };
        let server = config.cluster_url.to_string();
        let name = format!("{} ({name})", server.trim_end_matches('/'));
        let namespace = self.namespace.as_ref().unwrap_or(&config.default_namespace).clone();
        let client = Client::try_from(config).map_err(|error| format!("the hub {name} {}", cause(&error)))?;
        let watching = client.clone();
        Ok(Hub { client: with_deadline(client, self.request_timeout), watching, namespace, server, name })
    }

    async fn config(&self, file: &Kubeconfig) -> Result<Config, CliError> {
        let config = own_kubeconfig::config(file, self.context.as_deref()).await?;
        Ok(own_kubeconfig::resolve(config, PLUGIN_TIMEOUT).await?)
    }

    /// The user's kubeconfig.
    pub(super) fn file(&self) -> Result<Kubeconfig, CliError> {
        own_kubeconfig::read(self.kubeconfig.as_deref())
    }
}

impl Hub {
    /// Objects in the selected namespace, or in all.
    pub(super) fn api<K>(&self, all_namespaces: bool) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if all_namespaces {
            Api::all(self.client.clone())
        } else {
            Api::namespaced(self.client.clone(), &self.namespace)
        }
    }

    /// The hub's time, because this machine's clock may be off; the local time if the hub does not answer.
    pub(super) async fn now(&self) -> Timestamp {
        let request = http::Request::get("/version").body(Body::empty());
        let answer = match request {
            Ok(request) => self.client.send(request).await.ok(),
            Err(_) => None,
        };
        let date = answer.and_then(|answer| {
            let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
            jiff::fmt::rfc2822::parse(date).ok()
        });
        date.map_or_else(Timestamp::now, |date| date.timestamp())
    }

    /// Describes why a request for a ksit object failed, and the remedy.
    pub(super) fn fault(&self, error: &kube::Error) -> CliError {
        let name = &self.name;
        if is_unknown_path(error) {
            return format!(
                "ksit's CRDs are not on this cluster, {name}: is it the hub? If so, install them there: \
                 ksit crds | kubectl apply --server-side -f -"
            )
            .into();
        }
        format!("the hub {name} {}{}", cause(error), hint(error)).into()
    }
}

/// The remedy for an answer that takes too long.
pub(super) fn hint(error: &kube::Error) -> &'static str {
    if is_late(error) { "; check its address and the network, or raise --request-timeout" } else { "" }
}

impl HubArgs {
    /// Prints the result of `read`, once or with --watch on every change. Returns the last result.
    pub(super) async fn show<S: Shown, F>(&self, mut read: impl FnMut(Hub) -> F) -> Result<S, CliError>
    where
        F: Future<Output = Result<S, CliError>>,
    {
        let (mut hub, mut made) = (self.flags.hub().await?, Instant::now());
        let mut printed = String::new();
        loop {
            if made.elapsed() > CREDENTIAL_LIFETIME {
                (hub, made) = (self.flags.hub().await?, Instant::now());
            }
            let found = read(hub.clone()).await?;
            let text = self.render(&found)?;
            let mut has_reader = true;
            if text != printed {
                // A terminal shows only the newest state; a pipe receives all of them.
                let clear = if self.watch && std::io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
                has_reader = print(&format!("{clear}{text}"))?;
                printed = text;
            }
            if !self.watch || !has_reader {
                return Ok(found);
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    fn render(&self, shown: &impl Shown) -> Result<String, CliError> {
        Ok(match self.output {
            Output::Table => escape_lines(&shown.text(false)).into_owned(),
            Output::Wide => escape_lines(&shown.text(true)).into_owned(),
            Output::Json => json(shown)?,
            Output::Yaml => yaml(shown)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};

    use super::*;

    fn hub(date: &'static str) -> Hub {
        let answer = move |_: Request<Body>| async move {
            Ok::<_, Infallible>(Response::builder().header("date", date).body(Body::empty()).unwrap())
        };
        let client = Client::new(tower::service_fn(answer), "fleet");
        Hub {
            client: client.clone(),
            watching: client,
            namespace: "fleet".to_owned(),
            server: "https://hub/".to_owned(),
            name: "hub".to_owned(),
        }
    }

    /// A laptop's clock may be an hour off, and a Lease lasts only seconds.
    #[tokio::test]
    async fn time_is_that_of_the_hub() {
        assert_eq!(hub("Thu, 01 Jan 2026 12:00:00 GMT").now().await.to_string(), "2026-01-01T12:00:00Z");
        let own = hub("yesterday").now().await;
        assert!(Timestamp::now().duration_since(own).abs() < jiff::SignedDuration::from_mins(1), "{own}");
    }
}
