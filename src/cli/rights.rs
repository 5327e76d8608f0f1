//! The RBAC that ksit needs on a target cluster: the source of `deploy/target/`, applied by `ksit target add`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::domain::component::ComponentKind;
use crate::domain::integrations::Tool;

/// Namespace of ksit's ServiceAccount on the cluster.
pub const NAMESPACE: &str = "ksit";

/// Secret in that namespace with the account's token.
pub const TOKEN_SECRET: &str = "ksit-token";

/// The account without any rights. Like the other two, YAML with several documents.
pub const READER: &str = r#"# ksit's identity on a target cluster. The files beside this one grant its rights.
apiVersion: v1
kind: Namespace
metadata: {name: ksit}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ksit, namespace: ksit}
automountServiceAccountToken: false
---
# A token that does not expire. `kubectl create token ksit -n ksit --duration=…` issues one that does.
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: ksit-token
  namespace: ksit
  annotations: {kubernetes.io/service-account.name: ksit}
"#;

/// The right to read every tool in any namespace, and the components of any `type: custom`.
pub const CLUSTER_WIDE: &str = r#"# Everything ksit ever reads, in all namespaces: for `type: custom` and tools in other namespaces. Use it instead of the
# files of single tools.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: ksit}
rules:
  - {apiGroups: [""], resources: [services], verbs: [get, list, watch]}
  - {apiGroups: [apps], resources: [deployments, statefulsets, daemonsets], verbs: [get, list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
  - {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get]}
  # Distinguishes an empty namespace from a missing one.
  - {apiGroups: [""], resources: [namespaces], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: ksit}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ksit}
subjects: [{kind: ServiceAccount, name: ksit, namespace: ksit}]
"#;

const SUBJECT: &str = "subjects: [{kind: ServiceAccount, name: ksit, namespace: ksit}]";

/// API groups and resources from which a kind of component is read.
fn resources(kind: ComponentKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        ComponentKind::Deployment => &[("apps", "deployments")],
        ComponentKind::StatefulSet => &[("apps", "statefulsets")],
        ComponentKind::DaemonSet => &[("apps", "daemonsets")],
        ComponentKind::Service => &[("", "services"), ("discovery.k8s.io", "endpointslices")],
        ComponentKind::Crd => &[],
    }
}

/// The right to read one tool, in `namespace` only.
pub fn of_tool(tool: &Tool, namespace: &str) -> String {
    let Tool { name, title, parts, .. } = tool;
    let kinds: BTreeSet<ComponentKind> = parts.iter().map(|part| part.kind).collect();
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (group, resource) in kinds.iter().flat_map(|kind| resources(*kind)) {
        groups.entry(group).or_default().push(resource);
    }
    let mut text = format!(
        "# Lets ksit read {title}. If it is installed in a namespace other than {namespace}, put that here.\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: ksit-{name}, namespace: {namespace}}}\n\
         rules:\n"
    );
    for (group, resources) in groups {
        let group = if group.is_empty() { "\"\"" } else { group };
        let resources = resources.join(", ");
        let _ = writeln!(text, "  - {{apiGroups: [{group}], resources: [{resources}], verbs: [get, list, watch]}}");
    }
    let _ = write!(
        text,
        "  # Distinguishes an empty namespace from a missing one.\n  \
         - {{apiGroups: [\"\"], resources: [namespaces], resourceNames: [{namespace}], verbs: [get]}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
         metadata: {{name: ksit-{name}, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: ksit-{name}}}\n{SUBJECT}\n"
    );
    let crds: Vec<&str> = parts.iter().filter(|part| part.kind == ComponentKind::Crd).map(|part| part.name).collect();
    if !crds.is_empty() {
        let names: String = crds.iter().map(|crd| format!("      - {crd}\n")).collect();
        let _ = write!(
            text,
            "---\n# CustomResourceDefinitions are cluster-scoped: these only, by name.\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: ksit-{name}}}\nrules:\n  \
             - apiGroups: [apiextensions.k8s.io]\n    resources: [customresourcedefinitions]\n    resourceNames:\n\
             {names}    verbs: [get]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
             metadata: {{name: ksit-{name}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ksit-{name}}}\n{SUBJECT}\n"
        );
    }
    text
}
