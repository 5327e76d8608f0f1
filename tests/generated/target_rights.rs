//! `deploy/target/`: what ksit needs on a cluster that it looks at, one file a tool, each in the tool's own namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ksit::domain::component::ComponentKind;
use ksit::domain::integrations::{TOOLS, Tool};

use crate::generated;

const READER: &str = r#"# Who ksit is on a cluster that it looks at. The rights come with the files of the tools beside this one.
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

fn rights(tool: &Tool) -> String {
    let Tool { name, title, namespace, parts } = tool;
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

#[test]
fn each_tool_has_a_file_with_the_rights_to_read_it() {
    generated("deploy/target/reader.yaml", READER);
    for tool in TOOLS {
        generated(&format!("deploy/target/{}.yaml", tool.name), &rights(tool));
    }
    let stored: BTreeSet<String> = std::fs::read_dir(crate::root().join("deploy/target"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = TOOLS.iter().map(|tool| format!("{}.yaml", tool.name)).chain(["reader.yaml".to_owned()]);
    assert_eq!(stored, expected.collect());
}
