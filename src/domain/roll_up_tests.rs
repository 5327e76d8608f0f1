use super::*;

fn counts(states: &[(ClusterState, u32)]) -> Counts {
    let mut counts = Counts::default();
    for (state, clusters) in states {
        (0..*clusters).for_each(|_| counts.add(*state));
    }
    counts
}

fn cluster(name: &str, state: ClusterState) -> Cluster<'_> {
    let (phase, reason) = (Phase::Failed, Reason::ComponentAbsent);
    Cluster { name, target: Some(name), state, phase, reason, message: "istiod is absent".into() }
}

fn of(states: &[(ClusterState, u32)], max_unhealthy: MaxUnhealthy) -> (Phase, Reason, String) {
    let listed: Vec<Cluster> = states.iter().map(|(state, _)| cluster("quito", *state)).collect();
    let unreachable =
        states.iter().find(|(state, _)| *state == ClusterState::Unreachable).map(|(_, clusters)| *clusters);
    let causes = unreachable.map(|clusters| (Reason::ConnectFailed, clusters)).into_iter().collect();
    roll_up(&counts(states), &causes, &listed, max_unhealthy)
}

#[test]
fn max_unhealthy_is_a_number_or_a_percentage() {
    assert_eq!(MaxUnhealthy::parse("3"), Some(MaxUnhealthy::Number(3)));
    assert_eq!(MaxUnhealthy::parse("5%"), Some(MaxUnhealthy::Percent(5)));
    for nonsense in ["", "%", "-1", "101%", "5 %", "five", "5%%"] {
        assert_eq!(MaxUnhealthy::parse(nonsense), None, "{nonsense}");
    }
    assert_eq!((MaxUnhealthy::Percent(5).of(400), MaxUnhealthy::Percent(5).of(19)), (20, 0));
}

#[test]
fn failures_within_max_unhealthy_degrade_the_integration() {
    use ClusterState::*;
    let clusters = [(Failed, 2), (Unreachable, 3), (Running, 95)];
    let (phase, reason, message) = of(&clusters, MaxUnhealthy::Percent(5));
    assert_eq!((phase, reason), (Phase::Degraded, Reason::WithinMaxUnhealthy));
    assert_eq!(
        message,
        "2 of 100 broken: quito: istiod is absent (and 1 more); 3 unreachable (ConnectFailed); maxUnhealthy is 5%"
    );
    assert_eq!(of(&clusters, MaxUnhealthy::Number(4)).0, Phase::Failed);
    assert_eq!(of(&clusters, MaxUnhealthy::Number(5)).0, Phase::Degraded);
}

#[test]
fn worst_cluster_state_decides_the_phase() {
    use ClusterState::*;
    let none = MaxUnhealthy::default();
    for (clusters, phase, reason) in [
        (vec![(Failed, 1), (Degraded, 1), (Running, 1)], Phase::Failed, Reason::TargetsFailing),
        (vec![(Unreachable, 1), (Running, 1)], Phase::Failed, Reason::TargetsUnreachable),
        (vec![(Unreachable, 1), (Unknown, 1)], Phase::Failed, Reason::TargetsFailing),
        (vec![(Degraded, 1), (Initializing, 1)], Phase::Degraded, Reason::TargetsDegraded),
        (vec![(Initializing, 1), (Running, 1)], Phase::Initializing, Reason::Initializing),
        (vec![(Paused, 2)], Phase::Paused, Reason::Paused),
        (vec![(Paused, 2), (Running, 1)], Phase::Running, Reason::Healthy),
    ] {
        let found = of(&clusters, none);
        assert_eq!((found.0, found.1), (phase, reason), "{clusters:?}");
    }
}

#[test]
fn degraded_cluster_is_named_in_the_message() {
    let (.., message) = of(&[(ClusterState::Degraded, 1), (ClusterState::Running, 1)], MaxUnhealthy::default());
    assert_eq!(message, "1 of 2 degraded: quito: istiod is absent");
}
