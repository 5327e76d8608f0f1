//! The manifest of the kubectl plugin for krew.

use std::collections::BTreeMap;

use serde_json::json;

use super::names::{REPOSITORY, download};
use super::{Platform, ReleaseError, VERSION};

/// The manifest for the archives of these platforms, whose sums are in `digests`.
///
/// # Errors
/// If a sum is missing.
pub(super) fn manifest(platforms: &[Platform], digests: &BTreeMap<String, String>) -> Result<String, ReleaseError> {
    let platform = |platform: &Platform| {
        let (archive, folder) = (platform.archive(), platform.folder());
        let digest = digests.get(&archive).ok_or_else(|| format!("{archive} has no sum"))?;
        Ok(json!({
            "selector": { "matchLabels": { "os": platform.os, "arch": platform.arch } },
            "uri": download(&archive),
            "sha256": digest,
            "bin": "ksit",
            "files": [
                { "from": format!("{folder}/ksit"), "to": "." },
                { "from": format!("{folder}/LICENSE"), "to": "." },
            ],
        }))
    };
    let platforms = platforms.iter().map(platform).collect::<Result<Vec<_>, ReleaseError>>()?;
    let manifest = json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": { "name": "ksit" },
        "spec": {
            "version": format!("v{VERSION}"),
            "homepage": REPOSITORY,
            "shortDescription": "Check whether the tools on your clusters work",
            "description": "Checks whether the tools on your clusters (Argo CD, Flux, Prometheus, Istio, cert-manager, …) \
                work. `kubectl ksit check` needs nothing on the clusters; the other commands read a hub on which ksit runs.",
            "platforms": platforms,
        },
    });
    Ok(serde_saphyr::to_string(&manifest)?)
}
