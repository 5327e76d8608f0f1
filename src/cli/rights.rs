//! What ksit needs on a cluster that it looks at. `deploy/target/` is made from this, and `ksit target add` applies it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::domain::component::ComponentKind;
use crate::domain::integrations::Tool;

/// Namespace of ksit's own account on the cluster.
pub const NAMESPACE: &str = "ksit";

/// The Secret there that holds the account's token.
pub const TOKEN_SECRET: &str = "ksit-token";

/// The account, without any right: YAML of several documents, as the other two.
pub const READER: &str = r#"# Who ksit is on a cluster that it looks at. The rights come with the files beside this one.
apiVersion: v1
kind: Namespace
metadata: {name: ksit}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ksit, namespace: ksit}
automountServiceAccountToken: false
---
# A token that lasts. `kubectl create token ksit -n ksit --duration=…` gives one that ends.
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: ksit-token
  namespace: ksit
  annotations: {kubernetes.io/service-account.name: ksit}
"#;

/// The right to read every tool wherever it is, and the components of any `type: custom`.
pub const CLUSTER_WIDE: &str = r#"# All that ksit ever reads, in all namespaces: for `type: custom`, and for tools in unusual places. Instead of the files of
# single tools.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: ksit}
rules:
  - {apiGroups: [""], resources: [services], verbs: [get, list, watch]}
  - {apiGroups: [apps], resources: [deployments, statefulsets, daemonsets], verbs: [get, list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
  - {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get]}
  # To tell an empty namespace from one that is not there.
  - {apiGroups: [""], resources: [namespaces], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: ksit}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ksit}
subjects: [{kind: ServiceAccount, name: ksit, namespace: ksit}]
"#;

const SUBJECT: &str = "subjects: [{kind: ServiceAccount, name: ksit, namespace: ksit}]";

/// API group and resources that a kind of component is read from.
fn resources(kind: ComponentKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        ComponentKind::Deployment => &[("apps", "deployments")],
        ComponentKind::StatefulSet => &[("apps", "statefulsets")],
        ComponentKind::DaemonSet => &[("apps", "daemonsets")],
        ComponentKind::Service => &[("", "services"), ("discovery.k8s.io", "endpointslices")],
        ComponentKind::Crd => &[],
    }
}

/// The right to read one tool in `namespace` alone.
pub fn of_tool(tool: &Tool, namespace: &str) -> String {
    let Tool { name, title, parts, .. } = tool;
    let kinds: BTreeSet<ComponentKind> = parts.iter().map(|part| part.kind).collect();
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (group, resource) in kinds.iter().flat_map(|kind| resources(*kind)) {
        groups.entry(group).or_default().push(resource);
    }
    let mut text = format!(
        "# What ksit reads of {title}. If it is installed in another namespace than {namespace}, write that here.\n\
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
        "  # To tell an empty namespace from one that is not there.\n  \
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
            "---\n# CustomResourceDefinitions have no namespace; these alone, by name.\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: ksit-{name}}}\nrules:\n  \
             - apiGroups: [apiextensions.k8s.io]\n    resources: [customresourcedefinitions]\n    resourceNames:\n\
             {names}    verbs: [get]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
             metadata: {{name: ksit-{name}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ksit-{name}}}\n{SUBJECT}\n"
        );
    }
    text
}
