//! `ksit notify test`

use jiff::Timestamp;
use kube::Api;
use rand::distr::{Alphanumeric, SampleString};

use super::CliError;
use super::hub::{Hub, HubFlags};
use super::output::print;
use crate::api::{Notifier, convert};
use crate::controllers::notify::deliver;
use crate::domain::escape::escape;
use crate::domain::notify::Delivery;
use crate::hub::is_absent;
use crate::targets::Outbound;

/// Try Notifiers.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Test(TestArgs),
}

/// Send a test message to the receiver of a Notifier, as the operator would send one.
///
/// It is sent from this machine, with your own rights to read the Notifier and its Secrets. The operator sends from the
/// hub, where other addresses may be reachable, and refuses some.
///
/// Examples:
///   ksit notify test chat -n fleet
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct TestArgs {
    /// Name of the Notifier.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    hub: HubFlags,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let Command::Test(TestArgs { name, hub }) = args.command;
    let hub: Hub = hub.hub().await?;
    let api: Api<Notifier> = hub.api(false);
    let found = match api.get(&name).await {
        Err(error) if is_absent(&error) => {
            let namespace = &hub.namespace;
            return Err(
                format!("there is no Notifier {name} in namespace {namespace}; set its namespace with -n").into()
            );
        }
        found => found.map_err(|error| hub.fault(&error))?,
    };
    let spec = convert::notifier(&found).map_err(|error| format!("Notifier {name}: {}", escape(&error)))?;
    let id = format!("test-{}", Alphanumeric.sample_string(&mut rand::rng(), 16));
    let delivery = Delivery::Test { notifier: spec.key.clone(), at: Timestamp::now(), id };
    let outbound = Outbound::new(None);
    let answer = deliver(&hub.client, &outbound, spec.key.namespace(), &spec.receiver, &delivery).await;
    let answer = answer.map_err(|fault| format!("{}: {}", fault.reason, escape(&fault.message)))?;
    print(&format!("{} answered {}\n", escape(&answer.host), answer.code))?;
    Ok(())
}
