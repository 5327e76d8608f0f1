//! Runs a credential plugin (`exec` of a kubeconfig).
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>

use std::io::IsTerminal;
use std::process::Stdio;
use std::time::Duration;

use kube::config::{ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

/// The credential that a plugin returned.
pub(super) struct PluginCredential {
    pub(super) token: Option<SecretString>,
    /// Chain and key, both PEM.
    pub(super) certificate: Option<(String, SecretString)>,
}

#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Characters of an install hint; longer ones are truncated.
const LONGEST_HINT: usize = 300;

/// Runs the plugin within `deadline`. As with kubectl it may prompt the user, unless its `interactiveMode` is `Never`.
pub(super) async fn run(exec: &ExecConfig, deadline: Duration) -> Result<PluginCredential, String> {
    let name = exec.command.as_deref().filter(|name| !name.is_empty()).ok_or("exec of the user has no command")?;
    let plugin = format!("the credential plugin {name}");
    let run = async { command(name, exec).spawn()?.wait_with_output().await };
    let output = match timeout(deadline, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let hint: String =
                exec.install_hint.iter().flat_map(|hint| hint.trim().chars()).take(LONGEST_HINT).collect();
            let separator = if hint.is_empty() { "" } else { ": " };
            return Err(format!("{plugin} is not installed, or not in PATH{separator}{hint}"));
        }
        Ok(Err(error)) => return Err(format!("{plugin} does not start: {error}")),
        Err(_) => {
            return Err(format!("{plugin} gave nothing within {} s; run it by itself to see why", deadline.as_secs()));
        }
    };
    if !output.status.success() {
        return Err(format!("{plugin} ended with {}; run it by itself to see why", output.status));
    }
    // kubectl accepts YAML too. The parser's message is omitted: it quotes the output.
    let read = serde_saphyr::from_slice::<ExecCredential>(&output.stdout).ok().and_then(|read| read.status);
    let status = read.ok_or_else(|| format!("{plugin} printed no ExecCredential with a status"))?;
    let certificate = status.client_certificate_data.zip(status.client_key_data.map(SecretString::from));
    Ok(PluginCredential { token: status.token.map(SecretString::from), certificate })
}

fn command(name: &str, exec: &ExecConfig) -> Command {
    let mut command = Command::new(name);
    command.args(exec.args.iter().flatten());
    let pairs = exec.env.iter().flatten().filter_map(|entry| entry.get("name").zip(entry.get("value")));
    command.envs(pairs);
    let may_interact = exec.interactive_mode != Some(ExecInteractiveMode::Never);
    let is_interactive = may_interact && std::io::stdin().is_terminal();
    let mut spec = serde_json::json!({ "interactive": is_interactive });
    if let Some(cluster) = &exec.cluster {
        spec["cluster"] = serde_json::json!(cluster);
    }
    let info = serde_json::json!({ "apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec });
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    command.stdin(if is_interactive { Stdio::inherit() } else { Stdio::null() });
    command.stderr(if may_interact { Stdio::inherit() } else { Stdio::null() });
    command.stdout(Stdio::piped()).kill_on_drop(true);
    command
}
