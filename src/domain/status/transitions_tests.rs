use super::*;
use crate::domain::status::Condition;
use crate::domain::verdict::Phase::{Degraded, Failed, Initializing, NotInstalled, Running, Unknown};

const CONNECTED: (Truth, Reason) = (Truth::True, Reason::Connected);
const AWAY: (Truth, Reason) = (Truth::False, Reason::Unreachable);

/// `tools`: names and phases.
fn status(reachable: (Truth, Reason), tools: &[(&str, Phase)], history: &[TransitionRecord]) -> TargetStatus {
    let tool = |(name, phase): &(&str, Phase)| ToolStatus {
        name: (*name).to_owned(),
        type_name: String::new(),
        phase: Some(*phase),
        reason: None,
        message: String::new(),
        version: None,
        since: Some(Timestamp::UNIX_EPOCH),
        components: Vec::new(),
        healthy_components: Vec::new(),
        resources: Vec::new(),
    };
    let reachable = Condition {
        kind: REACHABLE.to_owned(),
        truth: reachable.0,
        reason: Some(reachable.1),
        message: "m".to_owned(),
        since: Timestamp::UNIX_EPOCH,
        generation: None,
    };
    TargetStatus {
        conditions: vec![reachable],
        tools: tools.iter().map(tool).collect(),
        history: history.to_vec(),
        ..TargetStatus::default()
    }
}

fn changes(former: Option<&TargetStatus>, status: &TargetStatus) -> Vec<String> {
    let text = |change: PhaseChange| {
        format!("{} {}-{}", change.integration.unwrap_or_default(), change.from.as_str(), change.to.as_str())
    };
    phase_changes(former, status).into_iter().map(text).collect()
}

fn entry(tool: Option<&str>, to: Phase) -> TransitionRecord {
    let integration = tool.map(str::to_owned);
    TransitionRecord { time: Timestamp::UNIX_EPOCH, integration, from: Initializing, to, reason: None }
}

#[test]
fn each_tool_has_its_own_transitions() {
    let before = status(CONNECTED, &[("argocd", Failed), ("flux", Running), ("istio", Running)], &[]);
    let after = status(CONNECTED, &[("argocd", Failed), ("flux", Degraded), ("istio", Running)], &[]);
    assert_eq!(changes(Some(&before), &after), ["flux Running-Degraded"]);
    let change = phase_changes(Some(&before), &after).remove(0);
    assert!(change.is_warning() && change.since.is_some(), "{change:?}");
    assert_eq!(changes(Some(&after), &after), [""; 0]);
}

#[test]
fn unreachable_cluster_is_one_transition_whatever_tools_it_has() {
    let up = status(CONNECTED, &[("argocd", Running), ("flux", Running)], &[]);
    let down = status(AWAY, &[("argocd", Failed), ("flux", Failed)], &[]);
    assert_eq!(changes(Some(&up), &down), [" Running-Failed"]);
    assert_eq!(changes(Some(&down), &up), [" Failed-Running"]);
    let broken = status(CONNECTED, &[("argocd", Failed), ("flux", Running)], &[]);
    assert_eq!(changes(Some(&down), &broken), [" Failed-Running", "argocd Unknown-Failed"]);
}

#[test]
fn tool_broken_before_and_after_an_outage_has_no_transition() {
    let history = [entry(None, Failed), entry(Some("argocd"), Failed)];
    let down = status(AWAY, &[("argocd", Failed)], &history);
    assert_eq!(changes(Some(&down), &status(CONNECTED, &[("argocd", Failed)], &history)), [" Failed-Running"]);
    let mended = status(CONNECTED, &[("argocd", Running)], &history);
    assert_eq!(changes(Some(&down), &mended), [" Failed-Running", "argocd Failed-Running"]);
}

#[test]
fn first_observation_shows_faults_only() {
    let first = status(CONNECTED, &[("argocd", Running), ("flux", Failed), ("istio", NotInstalled)], &[]);
    assert_eq!(changes(None, &first), ["flux Initializing-Failed"]);
    assert_eq!(changes(None, &status(AWAY, &[("flux", Failed)], &[])), [" Initializing-Failed"]);
    let paused = status((Truth::Unknown, Reason::Paused), &[], &[]);
    assert_eq!(changes(Some(&first), &paused), [" Running-Paused"]);
    let stale = status((Truth::Unknown, Reason::Stale), &[], &[]);
    assert_eq!(changes(Some(&first), &stale), [" Running-Unknown"]);
    assert_eq!(changes(Some(&first), &status(CONNECTED, &[("flux", Unknown)], &[])), ["flux Failed-Unknown"]);
}

#[test]
fn phase_of_a_newer_version_is_a_warning() {
    let before = status(CONNECTED, &[("flux", Running)], &[]);
    let newer = Phase::read("Suspended").unwrap();
    let changes = phase_changes(Some(&before), &status(CONNECTED, &[("flux", newer)], &[]));
    assert!(changes[0].is_warning(), "{changes:?}");
}

fn change(from: Phase, to: Phase) -> PhaseChange {
    PhaseChange { integration: Some("flux".to_owned()), from, to, reason: None, message: String::new(), since: None }
}

#[test]
fn history_holds_the_newest_twenty() {
    let (mut history, mut now) = (Vec::new(), Timestamp::UNIX_EPOCH);
    let phase = |n: u32| Phase::read(&format!("P{n}")).unwrap();
    for n in 0..30 {
        record(&mut history, &[change(phase(n), phase(n + 1))], now);
        now += Duration::from_secs(60);
    }
    assert_eq!((history.len(), history[0].to.as_str(), history[19].to.as_str()), (KEPT, "P30", "P11"));
    assert_eq!(history[0].time.to_string(), "1970-01-01T00:29:00Z");
}

/// Both changes of one status are written at once, so neither waits for the other.
#[test]
fn transition_written_with_another_stays_in_the_history() {
    let (mut history, now) = (Vec::new(), Timestamp::UNIX_EPOCH);
    let of_argocd = PhaseChange { integration: Some("argocd".to_owned()), ..change(Running, Failed) };
    record(&mut history, &[of_argocd, change(Running, Failed)], now);
    record(&mut history, &[change(Failed, Running)], now + Duration::from_millis(500));
    assert_eq!(history.len(), 3, "{history:?}");
    // This one still waits to be written.
    record(&mut history, &[change(Running, Failed)], now + Duration::from_millis(600));
    assert_eq!(history.len(), 2, "{history:?}");
}

#[test]
fn flapping_tool_fills_the_history_no_faster_than_its_status_is_written() {
    let (mut history, mut now) = (Vec::new(), Timestamp::UNIX_EPOCH);
    for n in 0..50 {
        let (from, to) = if n % 2 == 0 { (Running, Failed) } else { (Failed, Running) };
        record(&mut history, &[change(from, to)], now);
        now += Duration::from_millis(100);
    }
    assert!((5..=12).contains(&history.len()), "5 s: {} entries", history.len());
    let goes_on = history.windows(2).all(|pair| pair[0].from == pair[1].to);
    assert!(goes_on && history[0].to == Running, "{history:?}");
}
