//! The alerts: valid, tested on synthetic series, and based on existing metrics.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::Tool;

use super::helm::{NAMESPACE, chart, objects, of_kind, run};
use super::metrics::{check_names, exposed};

async fn rules() -> Value {
    let objects = objects(NAMESPACE, &["prometheusRule.enabled=true"]).await;
    of_kind(&objects, "PrometheusRule")[0]["spec"].clone()
}

fn each(rules: &Value) -> Vec<&Value> {
    let groups = rules["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect()
}

#[tokio::test]
async fn alerts_pass_promtool_and_fire_as_expected() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yaml");
    std::fs::write(&file, serde_saphyr::to_string(&rules().await).unwrap()).unwrap();
    let checked = run(Tool::Promtool, &["check", "rules", "--lint=all", "--lint-fatal", file.to_str().unwrap()]).await;
    assert!(checked.is_ok, "{checked:?}");
    // The tests check when an alert fires, not its text.
    let mut bare = rules().await;
    let groups = bare["groups"].as_array_mut().unwrap();
    for rule in groups.iter_mut().flat_map(|group| group["rules"].as_array_mut().unwrap()) {
        rule.as_object_mut().unwrap().remove("annotations");
    }
    std::fs::write(&file, serde_saphyr::to_string(&bare).unwrap()).unwrap();
    let tests = dir.path().join("rules_test.yaml");
    std::fs::copy(chart().join("tests/rules_test.yaml"), &tests).unwrap();
    let tested = run(Tool::Promtool, &["test", "rules", tests.to_str().unwrap()]).await;
    assert!(tested.is_ok, "{}\n{}", tested.stdout, tested.stderr);
}

#[tokio::test]
async fn alerts_have_a_remedy_and_a_test() {
    let rules = rules().await;
    let tests = std::fs::read_to_string(chart().join("tests/rules_test.yaml")).unwrap();
    let mut names = BTreeSet::new();
    for rule in each(&rules) {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name), "{name} twice");
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].as_str().is_some_and(|text| text.len() > 20), "{name}: {text}");
        }
        let runbook = format!("https://ksit.io/runbook#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], runbook);
        assert!(rule["labels"]["severity"].is_string(), "{name}");
        let is_tested = |case: &str| case.contains(&format!("alertname: {name}")) && case.contains("exp_alerts");
        assert!(tests.split("eval_time:").any(is_tested), "{name} never fires in a test");
    }
}

#[tokio::test]
async fn alerts_query_existing_metrics() {
    let exposed = exposed();
    for rule in each(&rules().await) {
        check_names(rule["expr"].as_str().unwrap(), &exposed);
    }
}

#[tokio::test]
async fn alert_placeholders_are_replaced() {
    let values = [
        "prometheusRule.enabled=true",
        "replicas=7",
        "config.maxConcurrentReconciles=99",
        "prometheusRule.job=metrics/ksit",
        "prometheusRule.alertLabels.team=infra",
    ];
    let objects = objects(NAMESPACE, &values).await;
    let rules = of_kind(&objects, "PrometheusRule")[0]["spec"].to_string();
    for word in ["< 7", "> 99", "of 7 replicas", "metrics/ksit", r#""team":"infra""#] {
        assert!(rules.contains(word), "{word}: {rules}");
    }
    assert!(!["JOB", "REPLICAS", "ROUNDS"].iter().any(|word| rules.contains(word)), "{rules}");
}
