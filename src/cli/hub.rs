//! The hub as a user reaches it, and the ways to print what it holds.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Serialize;

use super::{CliError, json, own_kubeconfig};
use crate::domain::escape::{escape_lines, is_invisible};

/// Between two looks with --watch.
const REFRESH: Duration = Duration::from_secs(2);

/// Where the hub is.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Kubeconfig of the hub; default: $KUBECONFIG, else ~/.kube/config, else what a Pod of the hub has.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the hub; default: the current one.
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// Namespace; default: that of the context.
    #[arg(short, long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct HubArgs {
    #[command(flatten)]
    pub(super) place: Place,
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

impl Place {
    /// The API server with the user's own rights, and the namespace that the context names.
    pub(super) async fn config(&self) -> Result<Config, CliError> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let file = match (self.file(), Config::incluster()) {
            (Ok(file), _) => file,
            // So that it answers in the operator's own Pod too.
            (Err(_), Ok(pod)) if self.kubeconfig.is_none() && self.context.is_none() => return Ok(pod),
            (Err(error), _) => return Err(error),
        };
        Ok(Config::from_custom_kubeconfig(file, &options).await?)
    }

    /// The user's kubeconfig.
    pub(super) fn file(&self) -> Result<Kubeconfig, CliError> {
        own_kubeconfig::read(self.kubeconfig.as_deref())
    }
}

impl HubArgs {
    pub(super) async fn client(&self) -> Result<Client, CliError> {
        Ok(Client::try_from(self.place.config().await?)?)
    }

    /// Prints what `look` finds, once or with --watch whenever it changes. Gives what it printed last.
    pub(super) async fn show<S: Shown, F>(&self, mut look: impl FnMut() -> F) -> Result<S, CliError>
    where
        F: Future<Output = Result<S, CliError>>,
    {
        let mut printed = String::new();
        loop {
            let found = look().await?;
            let text = self.render(&found)?;
            if text != printed {
                // A terminal shows the newest state alone; a pipe gets one after the other.
                let clear = if self.watch && std::io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
                write!(std::io::stdout(), "{clear}{text}")?;
                std::io::stdout().flush()?;
                printed = text;
            }
            if !self.watch {
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
            Output::Yaml => {
                let yaml = serde_saphyr::to_string(shown)?;
                // JSON is YAML too, and has an escape for every character.
                if yaml.contains(|c| c != '\n' && is_invisible(c)) { json(shown)? } else { yaml }
            }
        })
    }
}
