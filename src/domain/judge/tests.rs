//! Degree and time of each kind's judgement, and that nothing looks better when it gets worse.

use std::sync::Arc;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::component::{MinReady, Patience};
use crate::domain::snapshot::{
    CaBundle, ListKind, ObjectCondition, ObjectState, PodTrouble, Rollout, Seen as SeenSpec, Served, Webhook, Workload,
    WorkloadConditions, WorkloadState,
};
use crate::domain::verdict::Phase;
use crate::domain::word::Word;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const NS: &str = "tools";

fn minutes_ago(minutes: i64) -> Timestamp {
    NOW - SignedDuration::from_mins(minutes)
}

fn state(desired: u32, ready: u32) -> WorkloadState {
    WorkloadState { desired, ready, updated: desired, max_unavailable: 1, ..WorkloadState::default() }
}

fn list_kind(kind: ComponentKind) -> ListKind {
    match kind {
        ComponentKind::StatefulSet => ListKind::StatefulSet,
        ComponentKind::DaemonSet => ListKind::DaemonSet,
        _ => ListKind::Deployment,
    }
}

/// The finding on a workload that has not been healthy since `since`, if that is known.
fn finding(component: &Component, state: WorkloadState, since: Option<Timestamp>) -> Finding {
    let workload = Workload { name: "a".to_owned(), state, ..Workload::default() };
    let query = Query::List { kind: list_kind(component.kind), namespace: NS.to_owned() };
    let snapshot = Snapshot::from([(query, Answer::Workloads(vec![Arc::new(workload)]))]);
    let seen = Seen { component, kind: component.kind, namespace: NS, name: "a" };
    let earlier = Observation { since, ..seen.observe(ComponentState::Progressing) };
    judge(component, &snapshot, &BTreeSet::new(), &Clock { now: NOW, earlier: &[earlier] })
}

fn phase(finding: &Finding) -> Phase {
    finding.faults.iter().map(|fault| fault.phase).min().unwrap_or(Phase::Running)
}

fn of(kind: ComponentKind) -> Component {
    Component::required(kind, "a", NS)
}

fn judged(component: &Component, state: WorkloadState, minutes: i64) -> Phase {
    phase(&finding(component, state, Some(minutes_ago(minutes))))
}

#[test]
fn deployment_is_failed_if_unavailable_and_degraded_if_short_for_long() {
    let deployment = of(ComponentKind::Deployment);
    let unavailable = WorkloadConditions { available: Some(false), ..WorkloadConditions::default() };
    assert_eq!(judged(&deployment, state(5, 0), 0), Phase::Failed);
    assert_eq!(judged(&deployment, WorkloadState { conditions: unavailable, ..state(5, 1) }, 0), Phase::Failed);
    assert_eq!(judged(&deployment, state(5, 4), 9), Phase::Running);
    assert_eq!(judged(&deployment, state(5, 4), 10), Phase::Degraded);
    let failing = WorkloadConditions { replica_failure: true, ..WorkloadConditions::default() };
    assert_eq!(judged(&deployment, WorkloadState { conditions: failing, ..state(5, 5) }, 10), Phase::Degraded);
}

#[test]
fn minimum_of_the_user_replaces_the_rules_for_ready_pods() {
    let with = |min| Component { min_ready: Some(min), ..of(ComponentKind::Deployment) };
    let standby = WorkloadConditions { available: Some(false), stalled: true, ..WorkloadConditions::default() };
    let standby = WorkloadState { conditions: standby, ..state(2, 1) };
    let one = with(MinReady::Pods(1));
    let stuck = WorkloadState { updated: 1, ..standby };
    assert_eq!(judged(&one, stuck, 60), Phase::Degraded, "the new version does not come up");
    let share = with(MinReady::Percent(90));
    assert_eq!(judged(&share, state(10, 9), 60), Phase::Running);
    assert_eq!(judged(&share, state(10, 8), 0), Phase::Failed);
    assert_eq!(
        judged(
            &one,
            WorkloadState { conditions: WorkloadConditions { stalled: false, ..standby.conditions }, ..standby },
            60
        ),
        Phase::Running
    );
    assert_eq!(judged(&one, standby, 60), Phase::Running, "a standby that is never ready");
}

#[test]
fn stateful_set_needs_a_quorum_only_where_its_pods_vote() {
    let voting = Component { quorum: true, ..of(ComponentKind::StatefulSet) };
    let plain = of(ComponentKind::StatefulSet);
    for (desired, ready, votes, otherwise) in [
        (3, 1, Phase::Failed, Phase::Running),
        (3, 2, Phase::Running, Phase::Running),
        (5, 2, Phase::Failed, Phase::Running),
        (4, 1, Phase::Running, Phase::Running),
        (1, 0, Phase::Failed, Phase::Failed),
    ] {
        assert_eq!(judged(&voting, state(desired, ready), 0), votes, "{ready} of {desired}");
        assert_eq!(judged(&plain, state(desired, ready), 0), otherwise, "{ready} of {desired}");
    }
}

#[test]
fn daemon_set_may_miss_one_pod_or_a_tenth() {
    let agent = of(ComponentKind::DaemonSet);
    for (desired, ready, expected) in [
        (500, 1, Phase::Failed),
        (100, 90, Phase::Running),
        (100, 89, Phase::Failed),
        (3, 2, Phase::Running),
        (3, 1, Phase::Failed),
        (1, 0, Phase::Failed),
    ] {
        assert_eq!(judged(&agent, state(desired, ready), 0), expected, "{ready} of {desired}");
    }
    assert_eq!(judged(&agent, state(100, 99), 10), Phase::Degraded);
    let rolling = WorkloadState { updated: 40, max_unavailable: 25, ..state(100, 75) };
    assert_eq!(judged(&agent, rolling, 0), Phase::Running, "its rollout may take 25 down");
    assert_eq!(judged(&agent, WorkloadState { ready: 60, ..rolling }, 0), Phase::Failed);
}

#[test]
fn old_pods_by_choice_are_a_remark() {
    for rollout in [Rollout::OnDelete, Rollout::Partition, Rollout::Paused] {
        let old = WorkloadState { updated: 0, rollout, ..state(3, 3) };
        let finding = finding(&of(ComponentKind::StatefulSet), old, Some(minutes_ago(999)));
        assert_eq!(phase(&finding), Phase::Running);
        let message = finding.observations[0].message.as_deref().unwrap();
        assert!(message.starts_with("3 Pods of the old version") && !message.contains("rolling"), "{message}");
    }
}

#[test]
fn spec_that_nobody_looks_at_fails_after_the_deadline() {
    let agent = of(ComponentKind::DaemonSet);
    let never = |minutes| WorkloadState { seen: SeenSpec::Never(minutes_ago(minutes).as_second()), ..state(0, 0) };
    assert_eq!(phase(&finding(&agent, never(1), None)), Phase::Running);
    assert_eq!(phase(&finding(&agent, never(11), None)), Phase::Failed);
    let earlier = WorkloadState { seen: SeenSpec::Earlier, ..state(3, 3) };
    assert_eq!((judged(&agent, earlier, 1), judged(&agent, earlier, 10)), (Phase::Running, Phase::Failed));
}

#[test]
fn failure_is_held_back_as_long_as_the_user_asks() {
    let patience = Patience { fail_after: std::time::Duration::from_secs(120), ..Patience::default() };
    let patient = Component { patience, ..of(ComponentKind::Deployment) };
    let early = finding(&patient, state(1, 0), Some(minutes_ago(1)));
    assert_eq!((phase(&early), early.until), (Phase::Running, Some(NOW + SignedDuration::from_mins(1))));
    assert_eq!(judged(&patient, state(1, 0), 2), Phase::Failed);
    let first = finding(&patient, state(1, 0), None);
    assert_eq!(first.observations[0].since, Some(NOW), "time starts when it is first seen");
}

#[test]
fn one_of_several_kinds_will_do() {
    let component = Component { or_kinds: vec![ComponentKind::DaemonSet], ..of(ComponentKind::Deployment) };
    let list = |kind: ListKind, states: &[WorkloadState]| {
        let workload =
            |state: &WorkloadState| Arc::new(Workload { name: "a".to_owned(), state: *state, ..Workload::default() });
        let query = Query::List { kind, namespace: NS.to_owned() };
        (query, Answer::Workloads(states.iter().map(workload).collect()))
    };
    let judged = |deployments: &[WorkloadState], daemon_sets: &[WorkloadState]| {
        let snapshot =
            Snapshot::from([list(ListKind::Deployment, deployments), list(ListKind::DaemonSet, daemon_sets)]);
        let finding = judge(&component, &snapshot, &BTreeSet::new(), &Clock { now: NOW, earlier: &[] });
        (phase(&finding), finding.faults.first().map(|fault| fault.message.clone()).unwrap_or_default())
    };
    assert_eq!(judged(&[], &[state(3, 3)]).0, Phase::Running);
    assert_eq!(judged(&[state(0, 0)], &[state(3, 3)]).0, Phase::Running, "the other kind is in use");
    assert_eq!(judged(&[state(0, 0)], &[]).0, Phase::Failed);
    let absent = judged(&[], &[]);
    assert!(absent.1.starts_with("Deployment or DaemonSet tools/a is absent"), "{absent:?}");
}

fn object(kind: ComponentKind, state: ObjectState, endpoints: &[(&str, u32)]) -> Finding {
    let component = Component { api_version: Some("example.com/v1".to_owned()), ..of(kind) };
    let component = match kind.is_cluster_scoped() {
        true => Component { namespace: String::new(), ..component },
        false => component,
    };
    let (.., query) = own_queries(&component).next().unwrap();
    let ready = endpoints.iter().map(|(name, ready)| ((*name).to_owned(), *ready)).collect();
    let slices = Query::List { kind: ListKind::EndpointSlice, namespace: NS.to_owned() };
    let snapshot = Snapshot::from([(query, Answer::Object(Arc::new(state))), (slices, Answer::Endpoints(ready))]);
    judge(&component, &snapshot, &BTreeSet::new(), &Clock { now: NOW, earlier: &[] })
}

fn conditions(all: &[(&str, Option<bool>)]) -> ObjectState {
    let condition = |(kind, truth): &(&str, Option<bool>)| {
        ((*kind).to_owned(), ObjectCondition { truth: *truth, reason: Some("ItsReason".to_owned()) })
    };
    ObjectState { conditions: all.iter().map(condition).collect(), ..ObjectState::default() }
}

#[test]
fn api_service_is_judged_by_its_condition() {
    let down = object(ComponentKind::ApiService, conditions(&[("Available", Some(false))]), &[]);
    assert_eq!(phase(&down), Phase::Failed);
    assert!(down.faults[0].message.contains("APIService a is not available (ItsReason)"), "{:?}", down.faults);
    assert_eq!(phase(&object(ComponentKind::ApiService, ObjectState::default(), &[])), Phase::Failed);
    assert_eq!(
        phase(&object(ComponentKind::ApiService, conditions(&[("Available", Some(true))]), &[])),
        Phase::Running
    );
}

#[test]
fn crd_that_is_not_served_is_failed_by_its_conditions() {
    let crd = Component { namespace: String::new(), ..of(ComponentKind::Crd) };
    let exists = Answer::Object(Arc::new(ObjectState::default()));
    let in_full = Query::Object(ObjectRef::crd_in_full("a"));
    let judged = |unserved: &str, full: Option<Answer>| {
        let mut snapshot = Snapshot::from([
            (Query::Object(ObjectRef::crd("a")), exists.clone()),
            (
                Query::Served,
                Answer::Served(Served { missing: BTreeSet::from([unserved.to_owned()]), ..Served::default() }),
            ),
        ]);
        snapshot.extend(full.map(|answer| (in_full.clone(), answer)));
        judge(&crd, &snapshot, &BTreeSet::new(), &Clock { now: NOW, earlier: &[] })
    };
    let full = |all: &[(&str, Option<bool>)]| Some(Answer::Object(Arc::new(conditions(all))));
    let served = judged("b", None);
    assert_eq!((phase(&served), served.why.len()), (Phase::Running, 0));
    let unsure = judged("a", None);
    assert_eq!((phase(&unsure), unsure.why), (Phase::Running, BTreeSet::from([in_full.clone()])));
    let refused = judged("a", full(&[("NamesAccepted", Some(false)), ("Established", Some(false))]));
    assert!(refused.faults[0].message.contains("is not served: NamesAccepted is False (ItsReason)"), "{refused:?}");
    assert_eq!(refused.why, BTreeSet::from([in_full.clone()]), "it is read until served");
    assert_eq!(phase(&judged("a", full(&[("Established", Some(true))]))), Phase::Running, "discovery is late");
    assert_eq!(phase(&judged("a", Some(Answer::NotFound))), Phase::Failed, "it is too large to be read");
}

#[test]
fn any_other_kind_follows_kstatus() {
    let kind = ComponentKind::Other(Word::of("BackupStorageLocation").unwrap());
    let with_phase = |phase: &str| ObjectState { phase: Some(phase.to_owned()), ..ObjectState::default() };
    for (state, expected) in [
        (ObjectState::default(), Phase::Running),
        (conditions(&[("Ready", Some(true))]), Phase::Running),
        (conditions(&[("Ready", Some(false))]), Phase::Failed),
        (conditions(&[("Ready", Some(false)), ("Reconciling", Some(true))]), Phase::Running),
        (conditions(&[("Ready", None)]), Phase::Running),
        (conditions(&[("Ready", Some(true)), ("Stalled", Some(true))]), Phase::Failed),
        (ObjectState { outdated: true, ..conditions(&[("Ready", Some(false))]) }, Phase::Running),
        (ObjectState { deleting: true, ..ObjectState::default() }, Phase::Failed),
        (with_phase("Available"), Phase::Running),
        (with_phase("Unavailable"), Phase::Failed),
    ] {
        assert_eq!(phase(&object(kind, state.clone(), &[])), expected, "{state:?}");
    }
}

#[test]
fn webhook_needs_a_service_that_answers_and_a_certificate() {
    let webhook = |required, ca| ObjectState {
        webhooks: vec![Webhook { service: Some((NS.to_owned(), "hook".to_owned())), required, ca }],
        ..ObjectState::default()
    };
    let judged = |state, ready| phase(&object(ComponentKind::ValidatingWebhook, state, &[("hook", ready)]));
    let in_days = |days: i64| CaBundle::Until(NOW.as_second() + days * 86_400);
    assert_eq!(judged(webhook(true, in_days(90)), 1), Phase::Running);
    assert_eq!(judged(webhook(true, in_days(90)), 0), Phase::Failed);
    assert_eq!(judged(webhook(false, in_days(90)), 0), Phase::Degraded);
    assert_eq!(judged(webhook(true, in_days(6)), 1), Phase::Degraded);
    assert_eq!(judged(webhook(true, in_days(-1)), 1), Phase::Failed);
    assert_eq!(judged(webhook(true, CaBundle::Empty), 1), Phase::Failed);
    assert_eq!(judged(webhook(false, CaBundle::Invalid), 1), Phase::Degraded);
    let by_url = Webhook { service: None, required: true, ca: CaBundle::Empty };
    let by_url = ObjectState { webhooks: vec![by_url], ..ObjectState::default() };
    assert_eq!(judged(by_url, 0), Phase::Running, "verified by the roots of the system");
}

fn any_component() -> impl Strategy<Value = Component> {
    let kinds = [ComponentKind::Deployment, ComponentKind::StatefulSet, ComponentKind::DaemonSet];
    let min = prop_oneof![
        Just(None),
        (1..6_u32).prop_map(|pods| Some(MinReady::Pods(pods))),
        (1..=100_u8).prop_map(|percent| Some(MinReady::Percent(percent))),
    ];
    (prop::sample::select(kinds.to_vec()), min, any::<bool>(), 0..300_u64).prop_map(
        |(kind, min_ready, quorum, fail_after)| {
            let patience = Patience { fail_after: std::time::Duration::from_secs(fail_after), ..Patience::default() };
            Component { min_ready, quorum, patience, ..of(kind) }
        },
    )
}

fn any_state() -> impl Strategy<Value = WorkloadState> {
    let rollouts = [Rollout::Automatic, Rollout::OnDelete, Rollout::Partition, Rollout::Paused];
    let available = prop_oneof![Just(None), Just(Some(true)), Just(Some(false))];
    let conditions = (available, any::<bool>(), any::<bool>());
    let counts = (1..9_u32, 0..9_u32, 0..9_u32, 0..4_u32);
    (counts, prop::sample::select(rollouts.to_vec()), conditions).prop_map(
        |((desired, ready, updated, max_unavailable), rollout, (available, stalled, replica_failure))| WorkloadState {
            desired,
            ready: ready.min(desired),
            updated: updated.min(desired),
            max_unavailable,
            seen: SeenSpec::Latest,
            rollout,
            conditions: WorkloadConditions { available, stalled, replica_failure },
        },
    )
}

proptest! {
    #[test]
    fn verdict_never_improves_when_a_component_gets_worse(
        component in any_component(), state in any_state(), minutes in 0..20_i64, change in 0..4_u8,
    ) {
        let mut worse = state;
        match change {
            0 => worse.ready = worse.ready.saturating_sub(1),
            1 => worse.conditions.available = Some(false),
            2 => worse.conditions.stalled = true,
            _ => worse.conditions.replica_failure = true,
        }
        // Phases are ordered worst first.
        prop_assert!(judged(&component, worse, minutes) <= judged(&component, state, minutes));
    }

    #[test]
    fn verdict_never_improves_by_waiting(
        component in any_component(), state in any_state(), minutes in 0..20_i64, more in 0..20_i64,
    ) {
        prop_assert!(judged(&component, state, minutes + more) <= judged(&component, state, minutes));
    }

    #[test]
    fn verdict_changes_by_itself_at_the_announced_time_only(
        component in any_component(), state in any_state(), seconds in 0..1_500_i64,
    ) {
        let since = NOW - SignedDuration::from_secs(seconds);
        let before = finding(&component, state, Some(since));
        if before.until.is_none() {
            prop_assert_eq!(phase(&before), phase(&finding(&component, state, Some(since - SignedDuration::from_hours(99)))));
        }
    }
}

#[test]
fn reason_of_the_pods_is_asked_for_and_told_only_while_something_is_wrong() {
    let deployment = of(ComponentKind::Deployment);
    let pods = Query::Pods { namespace: NS.to_owned(), selector: "app=a".to_owned() };
    let judged = |state: WorkloadState, answer: Option<Answer>| {
        let workload = Workload { name: "a".to_owned(), state, pods: Some("app=a".into()), ..Workload::default() };
        let list = Query::List { kind: ListKind::Deployment, namespace: NS.to_owned() };
        let mut snapshot = Snapshot::from([(list, Answer::Workloads(vec![Arc::new(workload)]))]);
        snapshot.extend(answer.map(|answer| (pods.clone(), answer)));
        judge(&deployment, &snapshot, &BTreeSet::new(), &Clock { now: NOW, earlier: &[] })
    };
    assert!(judged(state(2, 2), None).why.is_empty());
    let first = judged(state(2, 0), None);
    assert_eq!(first.why, BTreeSet::from([pods.clone()]));
    let trouble = |container: Option<&str>| {
        let container = container.map(str::to_owned);
        Answer::Pods(Some(PodTrouble { reason: "CrashLoopBackOff", container }))
    };
    let told = judged(state(2, 0), Some(trouble(Some("server"))));
    assert!(told.faults[0].message.ends_with("(CrashLoopBackOff in container server)"), "{:?}", told.faults);
    assert_eq!(told.why, first.why, "it is asked again");
    let short = judged(state(2, 1), Some(trouble(None)));
    assert_eq!(short.observations[0].message.as_deref(), Some("has 1 of 2 ready (CrashLoopBackOff)"));
    let forbidden = judged(state(2, 0), Some(Answer::Forbidden));
    assert!(forbidden.faults[0].message.contains("resources [\"pods\"], verbs [list]"), "{:?}", forbidden.faults);
    assert_eq!(judged(state(2, 0), Some(Answer::Pods(None))).faults, judged(state(2, 0), None).faults);
}
