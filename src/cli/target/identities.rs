//! Translates the credential plugins of clouds to `spec.access`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::convert::eks_access;
use crate::cli::CliError;

/// A credential plugin, as kubeconfigs and Argo CD's cluster Secrets have it.
#[derive(Deserialize)]
pub(super) struct Plugin {
    #[serde(default)]
    command: String,
    #[serde(default)]
    args: Vec<String>,
    /// As Argo CD writes them.
    #[serde(default)]
    env: BTreeMap<String, String>,
}

impl Plugin {
    /// The value of a flag, as `--flag value` or `--flag=value`, by any of its names.
    fn flag(&self, names: &[&str]) -> Option<&str> {
        let separate = self.args.iter().position(|arg| names.contains(&arg.as_str()));
        let joined = || {
            self.args.iter().find_map(|arg| {
                let (name, value) = arg.split_once('=')?;
                names.contains(&name).then_some(value)
            })
        };
        separate.and_then(|at| self.args.get(at + 1)).map(String::as_str).or_else(joined)
    }
}

/// The identity that the plugin stands for, as fields of `spec.access`.
///
/// # Errors
/// The plugin is none that ksit knows; its name is not repeated, as anything may stand there.
pub(super) fn of_plugin(plugin: &Plugin, server: &str) -> Result<Map<String, Value>, CliError> {
    let program = plugin.command.rsplit(['/', '\\']).next().unwrap_or_default().trim_end_matches(".exe");
    let first = plugin.args.first().map(String::as_str).unwrap_or_default();
    match (program, first) {
        ("aws" | "aws-iam-authenticator", _) | ("argocd-k8s-auth", "aws") => {
            let cluster = plugin.flag(&["--cluster-name", "--cluster-id", "-i"]);
            let cluster = cluster.ok_or("it does not name the EKS cluster")?;
            let region = plugin.flag(&["--region"]).or_else(|| plugin.env.get("AWS_REGION").map(String::as_str));
            eks(server, cluster, region, plugin.flag(&["--role-arn", "--role", "-r"]))
        }
        ("gke-gcloud-auth-plugin", _) | ("argocd-k8s-auth", "gcp") => Ok(fields(json!({ "gke": {} }))),
        ("kubelogin", "get-token") | ("argocd-k8s-auth", "azure") => {
            let of = |flags: &[&str], variable: &str| {
                plugin.flag(flags).or_else(|| plugin.env.get(variable).map(String::as_str)).map(str::to_owned)
            };
            let tenant = of(&["--tenant-id", "-t"], "AZURE_TENANT_ID").or_else(|| of(&[], "AAD_TENANT_ID"));
            let client = of(&["--client-id"], "AZURE_CLIENT_ID");
            let set = [("tenantID", tenant), ("clientID", client)];
            let aks: Map<String, Value> =
                set.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))).collect();
            Ok(fields(json!({ "aks": aks })))
        }
        _ => Err("ksit runs no programs, and knows no identity for this one; run ksit target add".into()),
    }
}

/// An EKS cluster as a field of `spec.access`.
///
/// # Errors
/// The region is unknown.
pub(super) fn eks(
    server: &str,
    cluster: &str,
    region: Option<&str>,
    role_arn: Option<&str>,
) -> Result<Map<String, Value>, CliError> {
    Ok(fields(json!({ "eks": eks_access(server, cluster, region, role_arn)? })))
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EKS: &str = "https://ABC.gr7.eu-west-1.eks.amazonaws.com";

    fn plugin(command: &str, args: &[&str], env: &[(&str, &str)]) -> Plugin {
        let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Plugin { command: command.to_owned(), args: args.iter().map(|&arg| arg.to_owned()).collect(), env }
    }

    #[test]
    fn plugins_of_clouds_become_identities() {
        let role = "arn:aws:iam::123456789012:role/argo";
        for (plugin, access) in [
            (
                plugin("aws", &["--region", "eu-north-1", "eks", "get-token", "--cluster-name", "prod"], &[]),
                json!({"eks": {"clusterName": "prod", "region": "eu-north-1"}}),
            ),
            (
                plugin("argocd-k8s-auth", &["aws", "--cluster-name=prod", &format!("--role-arn={role}")], &[]),
                json!({"eks": {"clusterName": "prod", "region": "eu-west-1", "roleARN": role}}),
            ),
            (
                plugin(
                    "/usr/bin/aws-iam-authenticator",
                    &["token", "-i", "prod", "-r", role],
                    &[("AWS_REGION", "eu-south-1")],
                ),
                json!({"eks": {"clusterName": "prod", "region": "eu-south-1", "roleARN": role}}),
            ),
            (plugin("gke-gcloud-auth-plugin", &[], &[]), json!({"gke": {}})),
            (plugin("argocd-k8s-auth", &["gcp"], &[]), json!({"gke": {}})),
            (
                plugin(
                    "kubelogin",
                    &["get-token", "--login", "workloadidentity", "--server-id", "x"],
                    &[("AZURE_CLIENT_ID", "c")],
                ),
                json!({"aks": {"clientID": "c"}}),
            ),
            (plugin("argocd-k8s-auth", &["azure"], &[("AAD_TENANT_ID", "t")]), json!({"aks": {"tenantID": "t"}})),
        ] {
            assert_eq!(Value::from(of_plugin(&plugin, EKS).unwrap()), access);
        }
    }

    #[test]
    fn other_plugins_are_refused_without_their_name() {
        for plugin in [plugin("planted", &["planted"], &[]), plugin("aws", &["planted"], &[])] {
            let message = of_plugin(&plugin, EKS).unwrap_err().to_string();
            assert!(!message.contains("planted"), "{message}");
        }
    }
}
