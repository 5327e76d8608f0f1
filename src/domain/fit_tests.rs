//! Tests of verdicts of any size.

use proptest::prelude::*;

use super::*;
use crate::domain::component::ComponentKind;
use crate::domain::keys::TargetKey;
use crate::domain::managed::{Counts, MAX_KINDS, MAX_WORST};
use crate::domain::replica::{Epoch, ReplicaName};
use crate::domain::report::TargetReport;
use crate::domain::verdict::Phase;

fn seen(name: &str, state: ComponentState) -> Observation {
    Observation {
        kind: ComponentKind::Deployment.into(),
        namespace: "cd".to_owned(),
        name: name.to_owned(),
        state,
        ready: Some(1),
        desired: Some(1),
        since: None,
        message: None,
    }
}

fn tool(name: &str, phase: Phase, message: &str, observations: Vec<Observation>) -> (IntegrationKey, ToolVerdict) {
    let verdict = ToolVerdict {
        phase,
        reason: Reason::Healthy,
        message: message.to_owned(),
        observations,
        version: None,
        resources: Vec::new(),
    };
    (IntegrationKey::new("fleet", name), verdict)
}

fn verdict(tools: Vec<(IntegrationKey, ToolVerdict)>) -> Arc<TargetVerdict> {
    Arc::new(TargetVerdict { reach: Reach::Connected, tools })
}

#[test]
fn ordinary_verdict_is_unchanged() {
    let small = verdict(vec![tool("a", Phase::Running, "fine", vec![seen("x", ComponentState::Healthy); 900])]);
    let (fitted, omitted) = fit(&small);
    assert!(Arc::ptr_eq(&small, &fitted) && omitted == 0);
}

#[test]
fn healthy_components_are_omitted_first() {
    let mut many = vec![seen("good", ComponentState::Healthy); 1_500];
    many.push(seen("bad", ComponentState::NotReady));
    let large = verdict(vec![
        tool("a-good", Phase::Running, "", vec![seen("good", ComponentState::Healthy); 500]),
        tool("b-bad", Phase::Failed, "", many),
    ]);
    let (fitted, omitted) = fit(&large);
    assert_eq!(omitted, 1_001);
    let [(_, good), (_, bad)] = fitted.tools.as_slice() else { panic!("the tools stay in their order") };
    assert_eq!((good.observations.len(), bad.observations.len()), (0, 1_000));
    assert_eq!(bad.observations[0].name, "bad");
    let (again, more) = fit(&fitted);
    assert!(Arc::ptr_eq(&fitted, &again) && more == 0, "a verdict that fits is unchanged");
}

#[test]
fn components_are_limited_by_bytes_too() {
    let long = "n".repeat(253);
    let (fitted, omitted) =
        fit(&verdict(vec![tool("a", Phase::Failed, "", vec![seen(&long, ComponentState::Absent); 1_000])]));
    let kept = fitted.tools[0].1.observations.len();
    assert_eq!(kept + omitted as usize, 1_000);
    assert!((430..500).contains(&kept), "{kept}");
}

#[test]
fn messages_are_shortened_before_tools_are_dropped() {
    let tools = |count: usize, message: &str| {
        let name = |number: usize| format!("{number:0>200}");
        verdict((0..count).map(|number| tool(&name(number), Phase::Failed, message, Vec::new())).collect())
    };
    let longest = |verdict: &TargetVerdict| verdict.tools.iter().map(|(_, tool)| tool.message.chars().count()).max();
    let message = "ä".repeat(5_000);
    assert_eq!(longest(&fit(&tools(10, &message)).0), Some(MAX_MESSAGE + 1));
    assert_eq!(longest(&fit(&tools(200, &message)).0), Some(257));
    assert_eq!(longest(&fit(&tools(300, &message)).0), Some(65));
    let (too_many, _) = fit(&tools(2_000, &message));
    let Reach::Failed(failure) = &too_many.reach else { panic!("{:?}", too_many.reach) };
    assert_eq!(failure.reason, Reason::TooManyIntegrations);
    assert!(failure.message.starts_with("2000 Integrations") && too_many.tools.is_empty());
}

/// The most that one tool can say of managed objects.
fn resources() -> Vec<ResourceSummary> {
    let object = FailingObject {
        namespace: "n".repeat(63),
        name: "o".repeat(253),
        reason: Some("R".repeat(64)),
        since: Some(jiff::Timestamp::MAX),
    };
    let worst = vec![object; MAX_WORST];
    let counts = Counts {
        total: u32::MAX,
        progressing: u32::MAX,
        suspended: u32::MAX,
        failing: u32::MAX,
        unknown: u32::MAX,
        worst,
    };
    vec![ResourceSummary { kind: "K".repeat(63), counts, message: Some("m".repeat(300)) }; MAX_KINDS]
}

#[test]
fn names_of_failing_objects_are_omitted_before_their_counts() {
    let with = |count: usize| {
        let tools = (0..count).map(|number| {
            let (key, verdict) = tool(&format!("t{number}"), Phase::Running, "", Vec::new());
            (key, ToolVerdict { resources: resources(), ..verdict })
        });
        fit(&verdict(tools.collect())).0
    };
    let kinds = |verdict: &TargetVerdict| verdict.tools.iter().map(|(_, tool)| tool.resources.len()).sum::<usize>();
    let named = |verdict: &TargetVerdict| {
        let all = verdict.tools.iter().flat_map(|(_, tool)| &tool.resources);
        all.filter(|summary| !summary.counts.worst.is_empty()).count()
    };
    let few = with(1);
    assert_eq!(kinds(&few), MAX_KINDS);
    assert!((1..MAX_KINDS).contains(&named(&few)), "{}", named(&few));
    assert!(kinds(&with(100)) < 100 * MAX_KINDS);
}

/// Any verdict that Integrations valid for the CRD can produce, on a cluster with objects valid for Kubernetes.
pub(crate) fn largest_verdict() -> impl Strategy<Value = TargetVerdict> {
    let length = prop_oneof![Just(1_usize), Just(63), Just(253)];
    let text = prop_oneof![Just("n"), Just("\u{1}"), Just("\u{1f4a5}"), Just("\"")];
    let sizes = (1..1_500_usize, 0..120_usize, length, text, 0..5_000_usize, prop::bool::ANY);
    sizes.prop_map(|(tools, components, length, text, message, healthy)| {
        let seen = |number: usize| Observation {
            kind: ComponentKind::Crd.into(),
            namespace: "n".repeat(63),
            name: format!("{number:0>length$}"),
            state: if healthy { ComponentState::Healthy } else { ComponentState::Absent },
            ready: Some(u32::MAX),
            desired: Some(u32::MAX),
            since: None,
            message: (!healthy).then(|| text.repeat(message)),
        };
        let tool = |number: usize| {
            let observations = (0..if number < 100 { components } else { 0 }).map(seen).collect();
            let (phase, reason, message) = (Phase::Failed, Reason::ComponentNotReady, text.repeat(message));
            let verdict = ToolVerdict {
                phase,
                reason,
                message,
                observations,
                version: Some("9".repeat(63)),
                resources: if number.is_multiple_of(3) { resources() } else { Vec::new() },
            };
            (IntegrationKey::new("fleet", format!("{number:0>length$}").as_str()), verdict)
        };
        TargetVerdict { reach: Reach::Connected, tools: (0..tools).map(tool).collect() }
    })
}

/// The report of that verdict, with the limit names that Kubernetes allows.
pub(crate) fn largest_report((verdict, omitted): (Arc<TargetVerdict>, u32)) -> TargetReport {
    TargetReport {
        omitted,
        generation: 1,
        server: Some("h".repeat(253)),
        reported_by: ReplicaName::new("ksit-1"),
        epoch: Epoch(1),
        ..TargetReport::new(TargetKey::new("n".repeat(63), "t".repeat(253)), verdict)
    }
}
