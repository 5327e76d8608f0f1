//! The CustomResourceDefinitions as they are installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use kube::core::Rule;

use super::{Integration, IntegrationTarget, ShardMap};

/// All of them, in the order in which they are printed.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![Integration::crd(), IntegrationTarget::crd(), ShardMap::crd()]
}

/// One YAML document, as `crds/` holds it.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(crd)
}

/// Fences statuses: once a term is set, no write with a lower or without a term is taken.
///
/// It stands at the root, where neither a removed field nor a removed status escapes it.
pub(super) fn term_rule() -> Rule {
    Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.coordinatorTerm) || (has(self.status) && \
         has(self.status.coordinatorTerm) && self.status.coordinatorTerm >= oldSelf.status.coordinatorTerm)",
    )
    .message("status.coordinatorTerm never falls: this write is a former coordinator's")
}
