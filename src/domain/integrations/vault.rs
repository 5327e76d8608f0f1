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
        // Among the Services it alone is there in every mode, and tells the server from its roles.
        Part::required(Service, "vault-internal").labelled(&[&[(NAME, "vault"), ("vault-internal", "true")]]),
        Part::optional(Deployment, "vault-agent-injector").labelled(&[&[(NAME, "vault-agent-injector")]]),
        Part::optional(Service, "vault-agent-injector-svc").labelled(&[&[(NAME, "vault-agent-injector")]]),
        Part::optional(DaemonSet, "vault-csi-provider").labelled(&[&[(NAME, "vault-csi-provider")]]),
    ],
};
