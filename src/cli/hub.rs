//! The hub as a user reaches it, and the ways to print what it holds.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Serialize;

use super::CliError;

/// Between two looks with --watch.
const REFRESH: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct HubArgs {
    /// Kubeconfig of the hub; default: $KUBECONFIG, else ~/.kube/config, else what a Pod of the hub has.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the hub; default: the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace; default: that of the context.
    #[arg(short, long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// How to print: a table, a wider table, json or yaml.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Print again whenever it changes, until Ctrl-C.
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

/// What a command shows: for people as text, for programs as data.
pub(super) trait Shown: Serialize {
    fn text(&self, wide: bool) -> String;
}

impl HubArgs {
    /// A client with the user's own rights, and the namespace that the context names.
    pub(super) async fn client(&self) -> Result<Client, CliError> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let file = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let file = match (file, Config::incluster()) {
            (Ok(file), _) => file,
            // So that it answers in the operator's own Pod too.
            (Err(_), Ok(pod)) if self.kubeconfig.is_none() && self.context.is_none() => {
                return Ok(Client::try_from(pod)?);
            }
            (Err(error), _) => return Err(format!("{error}; give --kubeconfig").into()),
        };
        Ok(Client::try_from(Config::from_custom_kubeconfig(file, &options).await?)?)
    }

    /// Prints what `look` finds, once or with --watch whenever it changes.
    pub(super) async fn show<S: Shown, F>(&self, mut look: impl FnMut() -> F) -> Result<(), CliError>
    where
        F: Future<Output = Result<S, CliError>>,
    {
        let mut printed = String::new();
        loop {
            let text = self.render(&look().await?)?;
            if text != printed {
                // A terminal shows the newest state alone; a pipe gets one after the other.
                let clear = if self.watch && std::io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
                write!(std::io::stdout(), "{clear}{text}")?;
                std::io::stdout().flush()?;
                printed = text;
            }
            if !self.watch {
                return Ok(());
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    fn render(&self, shown: &impl Shown) -> Result<String, CliError> {
        Ok(match self.output {
            Output::Table => shown.text(false),
            Output::Wide => shown.text(true),
            Output::Json => format!("{}\n", serde_json::to_string_pretty(shown)?),
            Output::Yaml => serde_saphyr::to_string(shown)?,
        })
    }
}
