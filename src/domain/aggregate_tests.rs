use super::*;

fn on(phase: Phase, unreachable: Option<Reason>) -> OnTarget<'static> {
    OnTarget { phase, unreachable, version: None, resources: &[] }
}

fn target(name: &str) -> TargetKey {
    TargetKey::new("fleet", name)
}

const NONE: MaxUnhealthy = MaxUnhealthy::Number(0);

/// A tally of clusters with targets of the same names.
fn tally(selection: &Selection, clusters: &[(&str, Phase)]) -> Tally {
    let mut tally = Tally::new(selection);
    for (name, phase) in clusters {
        tally.put(&target(name), &(*name).into(), on(*phase, None));
    }
    tally
}

fn said<'a>(target: &TargetKey) -> (Phase, Reason, Cow<'a, str>) {
    (Phase::Failed, Reason::ComponentAbsent, format!("{} says", target.name()).into())
}

fn failed(name: &str) -> Cluster<'_> {
    let (phase, reason, message) = said(&target(name));
    Cluster { name, target: Some(name), state: ClusterState::Failed, phase, reason, message }
}

fn listed<'a>(summary: &'a Summary<'_>) -> Vec<&'a str> {
    summary.clusters.iter().map(|cluster| cluster.name).collect()
}

fn named(names: &[&str]) -> Selection {
    Selection { cluster_names: names.iter().map(|n| (*n).to_owned()).collect(), selector: None }
}

static EVERYTHING: Selection = Selection { cluster_names: BTreeSet::new(), selector: Some(Selector(Vec::new())) };

#[test]
fn failed_cluster_fails_the_integration_and_is_named() {
    let tally = tally(&EVERYTHING, &[("a", Phase::Running), ("b", Phase::Failed), ("c", Phase::Running)]);
    let summary = tally.summarize(NONE, said);
    assert_eq!((summary.phase, summary.reason), (Phase::Failed, Reason::TargetsFailing));
    assert_eq!(summary.message, "1 of 3 broken: b: b says");
    assert_eq!(summary.clusters[0], failed("b"));
}

#[test]
fn unknown_counts_as_unhealthy() {
    let tally = tally(&EVERYTHING, &[("a", Phase::Running), ("b", Phase::Unknown)]);
    let summary = tally.summarize(NONE, said);
    assert_eq!((summary.phase, summary.message.as_str()), (Phase::Failed, "1 of 2 unknown: b: b says"));
}

#[test]
fn paused_and_not_installed_are_counted_separately() {
    let tally = tally(&EVERYTHING, &[("a", Phase::Running), ("b", Phase::Paused), ("c", Phase::NotInstalled)]);
    let summary = tally.summarize(NONE, said);
    assert_eq!(summary.phase, Phase::Running);
    assert_eq!(summary.message, "1/1 clusters healthy; 1 without the tool; 1 paused");
}

#[test]
fn broken_tool_comes_before_a_hundred_unreachable_clusters() {
    let names: Vec<String> = (0..400).map(|n| format!("c{n:03}")).collect();
    let mut tally = Tally::new(&EVERYTHING);
    for (n, name) in names.iter().enumerate() {
        let (phase, cause) = match n {
            0..120 => (Phase::Failed, Some(if n < 118 { Reason::ConnectFailed } else { Reason::Unauthorized })),
            399 => (Phase::Failed, None),
            _ => (Phase::Running, None),
        };
        tally.put(&target(name), &name.as_str().into(), on(phase, cause));
    }
    let summary = tally.summarize(NONE, said);
    assert_eq!((summary.phase, summary.reason), (Phase::Failed, Reason::TargetsFailing));
    assert_eq!(
        summary.message,
        "1 of 400 broken: c399: c399 says; 120 unreachable (ConnectFailed 118, Unauthorized 2)"
    );
    assert_eq!((summary.counts.failed, summary.counts.unreachable), (1, 120));
    assert_eq!((listed(&summary)[..2].to_vec(), summary.clusters.len()), (vec!["c399", "c000"], LISTED_CLUSTERS));
}

#[test]
fn reachable_again_cluster_is_no_longer_counted_unreachable() {
    let mut tally = tally(&EVERYTHING, &[("a", Phase::Running)]);
    tally.put(&target("b"), &"b".into(), on(Phase::Failed, Some(Reason::TimedOut)));
    let summary = tally.summarize(NONE, said);
    assert_eq!(
        (summary.reason, summary.message.as_str()),
        (Reason::TargetsUnreachable, "1 of 2 unreachable: b (TimedOut)")
    );
    tally.put(&target("b"), &"b".into(), on(Phase::Failed, Some(Reason::ConnectFailed)));
    assert!(tally.summarize(NONE, said).message.ends_with("(ConnectFailed)"));
    tally.put(&target("b"), &"b".into(), on(Phase::Running, None));
    assert_eq!(tally.summarize(NONE, said).message, "2/2 clusters healthy");
}

#[test]
fn no_matching_target_is_reported() {
    assert_eq!(Tally::default().summarize(NONE, said).reason, Reason::NoTargets);
}

#[test]
fn missing_and_ambiguous_cluster_names_are_reported() {
    let mut both = tally(&named(&["a", "b"]), &[("a", Phase::Running), ("b", Phase::Running)]);
    both.put(&target("second"), &"b".into(), on(Phase::Running, None));
    let ambiguous = both.summarize(NONE, said);
    assert_eq!(ambiguous.reason, Reason::TargetAmbiguous);
    assert!(ambiguous.message.contains("2 IntegrationTargets have clusterName b: b, second"), "{}", ambiguous.message);
    let one = tally(&named(&["a", "gone"]), &[("a", Phase::Running)]);
    let missing = one.summarize(NONE, said);
    assert_eq!(missing.reason, Reason::TargetNotFound);
    assert!(missing.message.contains("clusterName gone"), "{}", missing.message);
    both.remove(&target("second"));
    assert_eq!(both.summarize(NONE, said).reason, Reason::Healthy);
}

#[test]
fn listed_clusters_are_capped_and_sorted() {
    let names: Vec<String> = (0..300).rev().map(|n| format!("c{n:03}")).collect();
    let mut clusters: Vec<_> = names.iter().map(|name| (name.as_str(), Phase::Paused)).collect();
    clusters.push(("zz", Phase::Failed));
    let tally = tally(&EVERYTHING, &clusters);
    let summary = tally.summarize(NONE, said);
    let listed = listed(&summary);
    assert_eq!((listed.len(), &listed[..3], listed[99]), (LISTED_CLUSTERS, &["zz", "c000", "c001"][..], "c098"));
    assert_eq!((summary.counts.total, summary.counts.paused), (301, 300));
}

#[test]
fn healthy_clusters_are_listed_only_if_all_fit() {
    let names: Vec<String> = (0..LISTED_CLUSTERS).map(|n| format!("c{n:03}")).collect();
    let healthy: Vec<_> = names.iter().map(|name| (name.as_str(), Phase::Running)).collect();
    let mut tally = tally(&EVERYTHING, &healthy);
    assert_eq!(tally.summarize(NONE, said).clusters.len(), LISTED_CLUSTERS);
    tally.put(&target("yy"), &"yy".into(), on(Phase::NotInstalled, None));
    tally.put(&target("zz"), &"zz".into(), on(Phase::Failed, None));
    let summary = tally.summarize(NONE, said);
    assert_eq!(summary.clusters, [failed("zz")]);
    assert_eq!((summary.counts.running, summary.message.as_str()), (100, "1 of 101 broken: zz: zz says"));
}

#[test]
fn clusters_beyond_the_list_are_counted() {
    let names: Vec<String> = (0..300).map(|n| format!("c{n:03}")).collect();
    let clusters: Vec<_> = names.iter().map(|name| (name.as_str(), Phase::Failed)).collect();
    let selection = Selection { cluster_names: ["unknown".to_owned()].into(), ..EVERYTHING.clone() };
    let tally = tally(&selection, &clusters);
    let summary = tally.summarize(NONE, said);
    assert_eq!(summary.reason, Reason::TargetNotFound);
    assert_eq!(summary.message, "301 of 301 broken: c000: c000 says (and 300 more)");
}

#[test]
fn summary_is_independent_of_earlier_states() {
    let phases = |n: usize| Phase::ALL[n % Phase::ALL.len()];
    let cause = |n: usize| [None, Some(Reason::ConnectFailed), Some(Reason::TimedOut)][n % 3];
    let names: Vec<String> = (0..40).map(|n| format!("c{n:02}")).collect();
    let selection = named(&["c01", "c02", "other"]);
    let (mut changed, mut fresh) = (Tally::new(&selection), Tally::new(&selection));
    for (n, name) in names.iter().enumerate().rev() {
        changed.put(&target(name), &name.as_str().into(), on(phases(n + 1), cause(n + 1)));
        changed.put(&target(name), &"other".into(), on(phases(n * 5), cause(n)));
    }
    for (n, name) in names.iter().enumerate() {
        if n % 7 == 0 {
            changed.remove(&target(name));
            continue;
        }
        for tally in [&mut changed, &mut fresh] {
            tally.put(&target(name), &name.as_str().into(), on(phases(n / 3), cause(n / 3)));
        }
    }
    assert_eq!(changed.summarize(NONE, said), fresh.summarize(NONE, said));
    assert_eq!(changed.summarize(NONE, said).counts.total, 35, "34 of 40 are left, and one name is missing");
}
