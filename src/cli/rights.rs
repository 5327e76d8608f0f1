//! The RBAC that ksit needs on a target cluster: the source of `deploy/target/`, applied by `ksit target add`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::api::catalogue;
use crate::domain::integrations::{Tool, expected_of};
use crate::domain::queries::first_step;
use crate::domain::snapshot::Query;

/// Namespace of ksit's ServiceAccount on the cluster.
pub const NAMESPACE: &str = "ksit";

/// Name of that ServiceAccount.
pub const ACCOUNT: &str = "ksit";

/// Secret in that namespace with the account's token.
pub const TOKEN_SECRET: &str = "ksit-token";

/// The account without any rights. Like the others, YAML with several documents.
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
# A token that does not expire. `ksit target add --token-ttl=24h` makes one that does, and is renewed.
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: ksit-token
  namespace: ksit
  annotations: {kubernetes.io/service-account.name: ksit}
"#;

/// The right to renew the account's own token, for `ksit target add --token-ttl=24h`.
pub const TOKEN_RENEWAL: &str = r#"# Lets ksit renew its own token, which `ksit target add --token-ttl=24h` makes in place of one that does not expire.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ksit-token-renewal, namespace: ksit}
rules:
  - {apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [ksit], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ksit-token-renewal, namespace: ksit}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ksit-token-renewal}
subjects: [{kind: ServiceAccount, name: ksit, namespace: ksit}]
"#;

/// The right to read every built-in tool in any namespace with what it manages, and the components of any
/// `type: custom`.
pub fn cluster_wide() -> String {
    let managed = catalogue::tools().iter().flat_map(|tool| &tool.resources).flat_map(|kind| &kind.lists);
    let mut resources = Resources::new();
    for list in managed {
        let (group, _, resource) = list.resource();
        resources.entry((group.to_owned(), MANAGED)).or_default().insert(resource.to_owned());
    }
    format!("{CLUSTER_WIDE}{}{}", list_rules(&resources), cluster_role_binding("ksit"))
}

/// Verbs with which workloads, Services and EndpointSlices are read.
const LISTED: &str = "get, list, watch";

/// Verbs with which the objects that a tool manages are read.
const MANAGED: &str = "list, watch";

/// Up to the rules for managed objects.
const CLUSTER_WIDE: &str = r#"# Everything ksit ever reads, in all namespaces: for `type: custom` and tools in other namespaces. Use it instead of the
# files of single tools.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: ksit}
rules:
  - {apiGroups: [""], resources: [services], verbs: [get, list, watch]}
  - {apiGroups: [apps], resources: [deployments, statefulsets, daemonsets], verbs: [get, list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
  - {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get]}
  - {apiGroups: [apiregistration.k8s.io], resources: [apiservices], verbs: [get]}
  - apiGroups: [admissionregistration.k8s.io]
    resources: [validatingwebhookconfigurations, mutatingwebhookconfigurations]
    verbs: [get]
  # Whether a namespace exists, and whether it is being deleted.
  - {apiGroups: [""], resources: [namespaces], verbs: [get]}
  # Why a workload is not at strength. Without it the cause is missing from messages, and nothing else.
  - {apiGroups: [""], resources: [pods], verbs: [list]}
  # Objects that the tools manage. Those that may not be listed are not counted; nothing else changes.
"#;

const SUBJECT: &str = "subjects: [{kind: ServiceAccount, name: ksit, namespace: ksit}]";

/// The rights to read one tool: in `namespace`, in the namespaces in which some of its parts may be, and
/// cluster-scoped objects by name. One document each; those of namespaces that don't exist can't be applied.
pub fn of_tool(tool: &Tool, namespace: &str) -> String {
    let config = BTreeMap::from([("namespace".to_owned(), namespace.to_owned())]);
    let expected = expected_of(tool, &config).unwrap_or_default();
    let (lists, objects, read) = split(first_step([&expected]));
    let Tool { name, title, .. } = tool;
    let mut text =
        format!("# Lets ksit read {title}. If it is installed in a namespace other than {namespace}, put that here.\n");
    text.push_str(&role(name, namespace, read.contains(namespace), &lists, &objects));
    for elsewhere in lists.keys().filter(|elsewhere| *elsewhere != namespace && !elsewhere.is_empty()) {
        let _ = writeln!(text, "---\n# Some of its parts may be in namespace {elsewhere}.");
        text.push_str(&role(name, elsewhere, read.contains(elsewhere), &lists, &objects));
    }
    if objects.contains_key("") || lists.contains_key("") {
        text.push_str("---\n# Cluster-scoped objects by name, and what the tool manages in all namespaces.\n");
        text.push_str(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: ksit-{name}}}\nrules:\n"
        ));
        text.push_str(&objects.get("").map(named_rules).unwrap_or_default());
        text.push_str(&lists.get("").map(list_rules).unwrap_or_default());
        text.push_str(&cluster_role_binding(&format!("ksit-{name}")));
    }
    text
}

/// Resources by API group and the verbs with which they are read.
type Resources = BTreeMap<(String, &'static str), BTreeSet<String>>;

/// Names of objects by API group and resource.
type Names = BTreeMap<(String, String), BTreeSet<String>>;

/// Kinds that are listed and objects that are read by name, by namespace (empty for cluster-scoped objects), and the
/// namespaces that are read themselves.
fn split(queries: BTreeSet<Query>) -> (BTreeMap<String, Resources>, BTreeMap<String, Names>, BTreeSet<String>) {
    let (mut lists, mut objects) = (BTreeMap::<_, Resources>::new(), BTreeMap::<_, Names>::new());
    let mut read = BTreeSet::new();
    for query in queries {
        match query {
            Query::List { kind, namespace } => {
                let (group, _, resource) = kind.resource();
                let resources = lists.entry(namespace).or_default().entry((group.to_owned(), LISTED)).or_default();
                resources.insert(resource.to_owned());
            }
            Query::Managed(list) => {
                let (group, _, resource) = list.resource();
                let lists = lists.entry(list.namespace.clone()).or_default();
                lists.entry((group.to_owned(), MANAGED)).or_default().insert(resource.to_owned());
            }
            // Discovery is open to all who are signed in.
            Query::Pods { .. } | Query::Served => {}
            // In the Role of the namespace itself.
            Query::Object(object) if object.is_namespace() => drop(read.insert(object.name)),
            Query::Object(object) => {
                let (group, _, resource) = object.resource.path();
                let resource = (group.to_owned(), resource.to_owned());
                objects.entry(object.namespace).or_default().entry(resource).or_default().insert(object.name);
            }
        }
    }
    (lists, objects, read)
}

fn role(
    name: &str,
    namespace: &str,
    reads_namespace: bool,
    lists: &BTreeMap<String, Resources>,
    objects: &BTreeMap<String, Names>,
) -> String {
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: ksit-{name}, namespace: {namespace}}}\n\
         rules:\n"
    );
    text.push_str(&lists.get(namespace).map(list_rules).unwrap_or_default());
    text.push_str(&objects.get(namespace).map(named_rules).unwrap_or_default());
    if reads_namespace {
        let _ = write!(
            text,
            "  # Whether the namespace exists, and whether it is being deleted.\n  \
             - {{apiGroups: [\"\"], resources: [namespaces], resourceNames: [{namespace}], verbs: [get]}}\n",
        );
    }
    let _ = write!(
        text,
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
         metadata: {{name: ksit-{name}, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: ksit-{name}}}\n{SUBJECT}\n"
    );
    text
}

fn cluster_role_binding(role: &str) -> String {
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {role}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n{SUBJECT}\n"
    )
}

fn list_rules(resources: &Resources) -> String {
    let rule = |((group, verbs), resources): (&(String, &str), &BTreeSet<String>)| {
        let group = if group.is_empty() { "\"\"" } else { group };
        let resources = resources.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("  - {{apiGroups: [{group}], resources: [{resources}], verbs: [{verbs}]}}\n")
    };
    resources.iter().map(rule).collect()
}

fn named_rules(names: &Names) -> String {
    let rule = |((group, resource), names): (&(String, String), &BTreeSet<String>)| {
        let group = if group.is_empty() { "\"\"" } else { group };
        let names: String = names.iter().map(|name| format!("      - {name}\n")).collect();
        format!("  - apiGroups: [{group}]\n    resources: [{resource}]\n    resourceNames:\n{names}    verbs: [get]\n")
    };
    names.iter().map(rule).collect()
}
