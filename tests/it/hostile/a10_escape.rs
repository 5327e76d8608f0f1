//! Names with control characters that a terminal would interpret.

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::kit::{World, hub, with_validation, without_validation};

const NAMES: [&str; 8] = [
    "\u{1b}[2J\u{1b}[1;1H\u{1b}[32mALL GOOD\u{1b}[0m",
    "two\nlines",
    "tab\there",
    "c1\u{9b}31m",
    "root\u{202e}gnp.exe",
    "a\u{2066}b",
    "zero\u{200b}width",
    "\u{feff}bom",
];

/// A POST of JSON, since server-side apply parses YAML, which allows no control characters.
async fn create(world: &World, kind: &str, name: &str, spec: Value) -> Result<DynamicObject, kube::Error> {
    let object = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    let object = serde_json::from_value(object).unwrap();
    world.api(kind).create(&PostParams::default(), &object).await
}

#[tokio::test]
async fn a10_names_with_control_characters_are_refused() {
    let world = World::new("a10-names").await;
    let _strict = with_validation().await;
    for name in NAMES {
        let refused = create(&world, "IntegrationTarget", "bad", json!({ "clusterName": name })).await;
        assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 422), "{name:?}: {refused:?}");
    }
    let sane = [
        "c1",
        "arn:aws:eks:eu-west-1:123456789012:cluster/x",
        "gke_project_europe-west1-b_prod",
        "user@host",
        "a name with spaces (prod), #1",
        "Köln-東京",
    ];
    for name in sane {
        world.apply("IntegrationTarget", "good", json!({ "clusterName": name })).await.unwrap();
    }
}

/// Objects created before the CRD refused such names.
#[tokio::test]
async fn a10_commands_and_statuses_show_old_names_escaped() {
    let mut world = World::new("a10-old").await;
    without_validation(async || {
        for (number, name) in NAMES.iter().enumerate() {
            // A Secret's name with a control character is no valid URL, and never requested.
            let secret = if name.contains(char::is_control) { "missing".to_owned() } else { format!("{name}-x") };
            let spec = json!({ "clusterName": name, "kubeconfigSecretRef": { "name": secret } });
            create(&world, "IntegrationTarget", &format!("t{number}"), spec).await.unwrap();
        }
        let spec = json!({ "type": "flux", "targetSelector": {}, "targetClusters": [format!("no\u{1b}[31msuch")] });
        create(&world, "Integration", "flux", spec).await.unwrap();
        world.start_operator(&[]).await;
        world.until_phase("flux", "Failed").await;
        for number in 0..NAMES.len() {
            world.until_reach(&format!("t{number}"), "SecretNotFound").await;
        }
        let log = world.log();
        let shown = |kind: &'static str| {
            let api = world.api(kind);
            async move { api.list(&Default::default()).await.unwrap() }
        };
        let statuses = shown("Integration").await.into_iter().chain(shown("IntegrationTarget").await);
        let mut written: Vec<String> = statuses.map(|object| strings(&object.data["status"])).collect();
        written.extend(world.events().await.iter().map(|event| event.note.clone().unwrap_or_default()));
        written.push(log);
        for text in &written {
            assert_harmless(text);
        }
        for args in [
            &["fleet"][..],
            &["fleet", "-o", "wide"],
            &["fleet", "-o", "json"],
            &["fleet", "-o", "yaml"],
            &["target", "t0"],
            &["target", "t4", "-o", "wide"],
            &["target", "t4", "-o", "json"],
            &["target", "t4", "-o", "yaml"],
            &["target", "t1"],
            &["shards", "-o", "wide"],
        ] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
            let command = command.args(args).args(["-n", &world.namespace, "--kubeconfig"]);
            let output = command.arg(hub().await.kubeconfig_path()).output().await.unwrap();
            assert!(output.status.success(), "{args:?}: {output:?}");
            assert_harmless(&String::from_utf8(output.stdout).unwrap());
        }
        drop(world.take_operator());
    })
    .await;
}

fn strings(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', "\u{0}"),
        Value::Array(items) => items.iter().map(strings).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields.values().map(strings).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn assert_harmless(text: &str) {
    let is_bad = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert!(!text.contains(is_bad), "{text:?}");
}
