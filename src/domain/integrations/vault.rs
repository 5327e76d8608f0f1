//! Vault, as its chart installs it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{DaemonSet, Deployment, Service, StatefulSet};

const NAME: &str = "app.kubernetes.io/name";

pub const TOOL: Tool = Tool {
    name: "vault",
    title: "Vault",
    namespace: "vault",
    parts: &[
        Part::required(StatefulSet, "vault").labelled(&[&[(NAME, "vault")]]),
        // The only Service present in every mode, and the one that identifies the server rather than a role.
        Part::required(Service, "vault-internal").labelled(&[&[(NAME, "vault"), ("vault-internal", "true")]]),
        Part::optional(Deployment, "vault-agent-injector").labelled(&[&[(NAME, "vault-agent-injector")]]),
        Part::optional(Service, "vault-agent-injector-svc").labelled(&[&[(NAME, "vault-agent-injector")]]),
        Part::optional(DaemonSet, "vault-csi-provider").labelled(&[&[(NAME, "vault-csi-provider")]]),
    ],
};
