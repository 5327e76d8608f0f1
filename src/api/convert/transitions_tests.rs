use serde_json::json;

use super::*;

/// `reachable`: status and reason of the condition; `tools`: names and phases.
fn status(reachable: (&str, &str), tools: &[(&str, &str)], history: &[TransitionRecord]) -> IntegrationTargetStatus {
    let tools: Vec<_> = tools
        .iter()
        .map(|(name, phase)| json!({ "name": name, "phase": phase, "reason": "R", "lastTransitionTime": "2026-11-30T00:00:00Z" }))
        .collect();
    let condition = json!({ "type": "Reachable", "status": reachable.0, "reason": reachable.1, "message": "m",
        "lastTransitionTime": "2026-11-30T00:00:00Z" });
    let status = json!({ "conditions": [condition], "integrations": tools });
    IntegrationTargetStatus { history: history.to_vec(), ..serde_json::from_value(status).unwrap() }
}

const CONNECTED: (&str, &str) = ("True", "Connected");
const UNREACHABLE: (&str, &str) = ("False", "Unreachable");

fn changes(former: Option<&IntegrationTargetStatus>, status: &IntegrationTargetStatus) -> Vec<String> {
    let text =
        |change: PhaseChange| format!("{} {}-{}", change.integration.unwrap_or_default(), change.from, change.to);
    phase_changes(former, status).into_iter().map(text).collect()
}

fn entry(tool: Option<&str>, to: &str) -> TransitionRecord {
    TransitionRecord { integration: tool.map(str::to_owned), to: to.to_owned(), ..TransitionRecord::default() }
}

#[test]
fn each_tool_has_its_own_transitions() {
    let before = status(CONNECTED, &[("argocd", "Failed"), ("flux", "Running"), ("istio", "Running")], &[]);
    let after = status(CONNECTED, &[("argocd", "Failed"), ("flux", "Degraded"), ("istio", "Running")], &[]);
    assert_eq!(changes(Some(&before), &after), ["flux Running-Degraded"]);
    let change = phase_changes(Some(&before), &after).remove(0);
    assert!(change.is_warning() && change.since.is_some(), "{change:?}");
    assert_eq!(changes(Some(&after), &after), [""; 0]);
}

#[test]
fn unreachable_cluster_is_one_transition() {
    let up = status(CONNECTED, &[("argocd", "Running"), ("flux", "Running")], &[]);
    let down = status(UNREACHABLE, &[("argocd", "Failed"), ("flux", "Failed")], &[]);
    assert_eq!(changes(Some(&up), &down), [" Running-Failed"]);
    assert_eq!(changes(Some(&down), &up), [" Failed-Running"]);
    let broken = status(CONNECTED, &[("argocd", "Failed"), ("flux", "Running")], &[]);
    assert_eq!(changes(Some(&down), &broken), [" Failed-Running", "argocd Unknown-Failed"]);
}

#[test]
fn tool_broken_before_and_after_an_outage_has_no_transition() {
    let history = [entry(None, "Failed"), entry(Some("argocd"), "Failed")];
    let down = status(UNREACHABLE, &[("argocd", "Failed")], &history);
    assert_eq!(changes(Some(&down), &status(CONNECTED, &[("argocd", "Failed")], &history)), [" Failed-Running"]);
    let repaired = status(CONNECTED, &[("argocd", "Running")], &history);
    assert_eq!(changes(Some(&down), &repaired), [" Failed-Running", "argocd Failed-Running"]);
}

#[test]
fn first_observation_reports_only_problems() {
    let first = status(CONNECTED, &[("argocd", "Running"), ("flux", "Failed"), ("istio", "NotInstalled")], &[]);
    assert_eq!(changes(None, &first), ["flux Initializing-Failed"]);
    assert_eq!(changes(None, &status(UNREACHABLE, &[("flux", "Failed")], &[])), [" Initializing-Failed"]);
    assert_eq!(changes(Some(&first), &status(("Unknown", "Paused"), &[], &[])), [" Running-Paused"]);
    assert_eq!(changes(Some(&first), &status(("Unknown", "Stale"), &[], &[])), [" Running-Unknown"]);
}

#[test]
fn phase_of_a_newer_version_is_a_warning() {
    let before = status(CONNECTED, &[("flux", "Running")], &[]);
    let changes = phase_changes(Some(&before), &status(CONNECTED, &[("flux", "Suspended")], &[]));
    assert!(changes[0].is_warning(), "{changes:?}");
}

fn change(from: &str, to: &str) -> PhaseChange {
    let (integration, message) = (Some("flux".to_owned()), String::new());
    PhaseChange { integration, from: from.to_owned(), to: to.to_owned(), reason: "R".to_owned(), message, since: None }
}

#[test]
fn history_holds_the_newest_twenty() {
    let (mut history, mut now) = (Vec::new(), Timestamp::UNIX_EPOCH);
    for n in 0..30 {
        let (from, to) = (format!("P{n}"), format!("P{}", n + 1));
        record(&mut history, &[change(&from, &to)], now);
        now += Duration::from_secs(60);
    }
    assert_eq!((history.len(), history[0].to.as_str(), history[19].to.as_str()), (MAX_HISTORY, "P30", "P11"));
    assert_eq!(history[0].time, "1970-01-01T00:29:00Z");
}

/// Both changes of one status are written together, so neither waits for the other.
#[test]
fn transition_written_with_another_stays_in_the_history() {
    let (mut history, now) = (Vec::new(), Timestamp::UNIX_EPOCH);
    let of_argocd = PhaseChange { integration: Some("argocd".to_owned()), ..change("Running", "Failed") };
    record(&mut history, &[of_argocd, change("Running", "Failed")], now);
    record(&mut history, &[change("Failed", "Running")], now + Duration::from_millis(500));
    assert_eq!(history.len(), 3, "{history:?}");
    // This one is not written yet.
    record(&mut history, &[change("Running", "Failed")], now + Duration::from_millis(600));
    assert_eq!(history.len(), 2, "{history:?}");
}

#[test]
fn flapping_tool_adds_history_only_as_often_as_it_is_written() {
    let (mut history, mut now) = (Vec::new(), Timestamp::UNIX_EPOCH);
    for n in 0..50 {
        let (from, to) = if n % 2 == 0 { ("Running", "Failed") } else { ("Failed", "Running") };
        record(&mut history, &[change(from, to)], now);
        now += Duration::from_millis(100);
    }
    assert!((5..=12).contains(&history.len()), "5 s: {} entries", history.len());
    let goes_on = history.windows(2).all(|pair| pair[0].from == pair[1].to);
    assert!(goes_on && history[0].to == "Running", "{history:?}");
}
