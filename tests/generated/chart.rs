//! The chart's CRDs, its version, and its flags.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;
use ksit::api::crds;
use ksit::cli::Cli;
use serde_json::Value;

use crate::{docs, generated, read};

/// Flags set from the Pod's own fields, or by values outside of `config`.
const FLAGS_OUTSIDE_CONFIG: &[&str] = &[
    "installation",
    "kubeconfig",
    "namespace",
    "pod-uid",
    "replica",
    "report-address",
    "report-token-file",
    "watch-namespaces",
];

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap()
}

#[test]
fn chart_crds_match_the_code() {
    for crd in crds::all() {
        let text = crds::to_yaml(&crd).unwrap();
        assert!(!text.contains("{{"), "Helm would parse that as a template");
        let name = crd.metadata.name.as_deref().unwrap();
        let (head, body) = text.split_once(&format!("  name: {name}\n")).unwrap();
        let template = format!(
            "{{{{- if .Values.crds.install }}}}\n{head}  name: {name}\n  labels:\n    {{{{- include \"ksit.labels\" . | \
             nindent 4 }}}}\n  {{{{- if .Values.crds.keep }}}}\n  annotations:\n    helm.sh/resource-policy: keep\n  \
             {{{{- end }}}}\n{body}{{{{- end }}}}\n"
        );
        generated(&format!("chart/templates/crd-{}.yaml", crd.spec.names.plural), &template);
    }
}

#[test]
fn chart_version_is_that_of_the_program() {
    let chart = yaml("chart/Chart.yaml");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}

/// Commands on the pages name the version that they are published with.
#[test]
fn pages_name_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let marks = ["/releases/download/v", "ksit --version ", "ksit-", "ksit:", "targetRevision: ", "ref: {tag: "];
    let mut found = 0;
    for page in docs() {
        let text = read(page.to_str().unwrap());
        for rest in marks.iter().flat_map(|mark| text.split(mark).skip(1)) {
            // Not the name of a replica, such as ksit-0.
            let named: String = rest.chars().take_while(|next| next.is_ascii_digit() || *next == '.').collect();
            if named.contains('.') {
                assert_eq!(named.trim_end_matches('.'), version, "{}", page.display());
                found += 1;
            }
        }
    }
    assert!(found > 5, "{found} places");
}

/// `loadtest/xtask` makes the same names of the same line.
#[test]
fn chart_names_the_repository_of_cargo_toml() {
    let repository = env!("CARGO_PKG_REPOSITORY");
    let owner_and_name = repository.strip_prefix("https://github.com/").unwrap();
    let (chart, values) = (yaml("chart/Chart.yaml"), yaml("chart/values.yaml"));
    assert_eq!((&chart["home"], &chart["sources"][0]), (&repository.into(), &repository.into()));
    assert_eq!(values["image"]["repository"], format!("ghcr.io/{}", owner_and_name.to_lowercase()));
    assert!(read("Dockerfile").contains(&format!("image.source=\"{repository}\"")));
}

/// Every flag of `ksit operator`, with its default.
fn flags() -> BTreeMap<String, Option<String>> {
    let command = Cli::command();
    let operator = command.find_subcommand("operator").unwrap();
    let default = |arg: &clap::Arg| arg.get_default_values().first().map(|value| value.to_str().unwrap().to_owned());
    let arguments = operator.get_arguments().filter(|arg| !arg.is_global_set());
    arguments.filter_map(|arg| Some((arg.get_long()?.to_owned(), default(arg)))).collect()
}

fn kebab(key: &str) -> String {
    key.chars().flat_map(|c| if c.is_ascii_uppercase() { vec!['-', c.to_ascii_lowercase()] } else { vec![c] }).collect()
}

#[test]
fn operator_flags_are_chart_values_with_the_same_default() {
    let values = yaml("chart/values.yaml");
    let config: BTreeMap<String, String> = values["config"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (kebab(key), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let flags = flags();
    let ours: BTreeSet<&str> = flags.keys().map(String::as_str).collect();
    let theirs: BTreeSet<&str> =
        config.keys().map(String::as_str).chain(FLAGS_OUTSIDE_CONFIG.iter().copied()).collect();
    assert_eq!(theirs, ours);
    for (flag, default) in &flags {
        if let (Some(value), Some(default)) = (config.get(flag), default) {
            assert_eq!(value, default, "--{flag}");
        }
    }
    let template = read("chart/templates/statefulset.yaml");
    for flag in ["installation", "report-token-file", "watch-namespaces"] {
        assert!(template.contains(&format!("- --{flag}=")), "{flag}");
    }
    for variable in ["POD_NAME", "POD_NAMESPACE", "POD_UID", "POD_IP"] {
        assert!(template.contains(variable), "{variable}");
    }
}
