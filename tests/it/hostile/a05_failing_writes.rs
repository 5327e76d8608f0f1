//! The hub fails for one object, one kind, one namespace or one verb, which delays nothing else.

use std::time::Duration;

use http::{Method, StatusCode};
use simulator::Fault;
use testkit::faulty_hub::{Action, Rule};
use tokio::time::{Instant, sleep};

use super::behind_faulty_hub::{FIRST, FIRST_SECRET, FaultyFleet, TARGETS, TEAM};
use super::own_hub::{TIMEOUT, logs, map};
use super::{MAX_WRONG, REPLICAS};
use crate::kit::eventually;

const FAULT_DURATION: Duration = Duration::from_secs(8);

/// Delay of every answer to one verb.
const HUB_DELAY: Duration = Duration::from_secs(2);

/// Eight concurrent writes of 2 s each are four a second. The checker changes up to five clusters a second, so the
/// queue grows for [`FAULT_DURATION`].
const MAX_WRONG_WITH_SLOW_PUTS: Duration = Duration::from_secs(8);

/// While the hub can't review tokens no new member can report; the statuses of its clusters don't change meanwhile.
const REVIEW_OUTAGE: Duration = Duration::from_secs(10);

fn statuses(code: StatusCode) -> Rule {
    Rule::fail(code).method(Method::PUT).subresource("status")
}

#[tokio::test]
async fn a5_failing_object_kind_namespace_or_verb_delays_no_other() {
    let mut fleet = FaultyFleet::start().await;
    let truth = fleet.fleet.check_truth(1..TARGETS).unwrap();
    truth.until_right(TIMEOUT).await.unwrap();
    let churning = fleet.churn();
    let internal = StatusCode::INTERNAL_SERVER_ERROR;
    let team = || statuses(internal).resource("integrationtargets").namespace(TEAM);
    let hang = || Rule::new(Action::Hang);
    let late = |method| Rule::new(Action::Delay(HUB_DELAY)).method(method);
    fleet.assert_endures("undisturbed", None, &truth, (FAULT_DURATION, MAX_WRONG)).await;
    // Between two faults of the second namespace its objects succeed again. The last fault has the longest back-off.
    for (fault, rule) in [
        ("PUT of one namespace's statuses: hangs", hang().method(Method::PUT).namespace(TEAM)),
        ("PUT of one target's status: 500", statuses(internal).resource("integrationtargets").name(FIRST)),
        ("PUT of one namespace's statuses: 429", statuses(StatusCode::TOO_MANY_REQUESTS).namespace(TEAM)),
        ("PUT of all Integrations' statuses: 500", statuses(internal).resource("integrations")),
        ("PUT of one namespace's statuses: 500", team()),
        ("PUT of all Integrations' statuses: 429", statuses(StatusCode::TOO_MANY_REQUESTS).resource("integrations")),
        ("POST and PATCH of Events: 500", Rule::fail(internal).resource("events")),
        ("POST and PATCH of Events: hang", hang().resource("events")),
        ("PATCH of labels: 500", Rule::fail(internal).method(Method::PATCH).resource("integrationtargets")),
        ("GET: 2 s late", late(Method::GET)),
        ("PUT of one namespace's statuses: 403", statuses(StatusCode::FORBIDDEN).namespace(TEAM)),
    ] {
        fleet.assert_endures(fault, Some(rule), &truth, (FAULT_DURATION, MAX_WRONG)).await;
    }
    // Nothing fails here, so churn of the first target and of the second namespace would take most of the writes.
    drop(churning);
    fleet.mend_churned();
    sleep(FAULT_DURATION).await;
    fleet
        .assert_endures("PUT: 2 s late", Some(late(Method::PUT)), &truth, (FAULT_DURATION, MAX_WRONG_WITH_SLOW_PUTS))
        .await;
}

/// An API server with a lagging watch cache: objects, Leases and the map are seen late, and writes cause conflicts.
#[tokio::test]
async fn a5_stale_watches_of_the_hub_delay_nothing() {
    let fleet = FaultyFleet::start().await;
    let truth = fleet.fleet.check_truth(1..TARGETS).unwrap();
    truth.until_right(TIMEOUT).await.unwrap();
    fleet.hub.set([Rule::new(Action::Lag(HUB_DELAY)).method(Method::GET).resource("integrationtargets")]);
    fleet.hub.cut();
    sleep(HUB_DELAY * 2).await;
    assert!(fleet.hub.matched() >= u64::from(REPLICAS), "all replicas reopen their watches: {}", fleet.hub.matched());
    let findings = truth.during(FAULT_DURATION * 2).await;
    println!("a5: watches 2 s behind: wrong at most {:.1} s", findings.wrong.lasted.as_secs_f64());
    assert!(
        findings.wrong.lasted <= MAX_WRONG && findings.took.len() >= 10,
        "{findings:?}\n{}",
        logs(&fleet.fleet, REPLICAS)
    );
}

#[tokio::test]
async fn a5_unreadable_secret_delays_no_other() {
    let mut fleet = FaultyFleet::start().await;
    let truth = fleet.fleet.check_truth(1..TARGETS).unwrap();
    truth.until_right(TIMEOUT).await.unwrap();
    // Its Secret is read before each check.
    fleet.fleet.clusters.simulator().unwrap().inject(0, Some(Fault::Unauthorized));
    let secret = |action| Rule::new(action).method(Method::GET).resource("secrets").name(FIRST_SECRET);
    let bounds = (FAULT_DURATION, MAX_WRONG);
    let failing = secret(Action::Fail(StatusCode::INTERNAL_SERVER_ERROR));
    fleet.assert_endures("GET of one Secret: 500", Some(failing), &truth, bounds).await;
    fleet.assert_endures("GET of one Secret: hangs", Some(secret(Action::Hang)), &truth, bounds).await;
}

/// A new member owns clusters, but can't report because the hub can't review its token.
#[tokio::test]
async fn a5_unreviewed_token_of_one_member_delays_no_other() {
    let mut fleet = FaultyFleet::start().await;
    let coordinator = map(&fleet.fleet).await.unwrap().coordinator.name.ordinal().unwrap();
    let worker = (0..REPLICAS).find(|ordinal| *ordinal != coordinator).unwrap();
    let left = fleet.fleet.replicas.take(worker).unwrap();
    left.stop(TIMEOUT).await.unwrap().expect("exits by itself");
    eventually("the others to own all", async || {
        (map(&fleet.fleet).await?.map.members.len() + 1 == REPLICAS as usize).then_some(())
    })
    .await;
    let truth = fleet.fleet.check_truth(0..TARGETS).unwrap();
    truth.until_right(TIMEOUT).await.unwrap();
    fleet.fleet.replicas.start(worker).await.unwrap();
    let rule = Rule::fail(StatusCode::INTERNAL_SERVER_ERROR).method(Method::POST).resource("tokenreviews");
    fleet
        .assert_endures("POST of TokenReviews: 500", Some(rule), &truth, (REVIEW_OUTAGE, REVIEW_OUTAGE + MAX_WRONG))
        .await;
    let findings = truth.during(FAULT_DURATION).await;
    println!("a5: TokenReviews again: wrong at most {:.1} s", findings.wrong.lasted.as_secs_f64());
    assert!(findings.wrong.lasted <= REVIEW_OUTAGE, "{findings:?}\n{}", logs(&fleet.fleet, REPLICAS));
}

/// Waves of changes during each fault, and between two faults: one breaks the clusters, the next mends them.
const FAULTY: usize = 6;
const UNDISTURBED: usize = 4;

/// A fault may delay other statuses by this factor, plus this many seconds of noise of a busy machine.
const MAX_RATIO: f64 = 1.2;
const NOISE: f64 = 0.5;

/// Breaks or mends all clusters; returns the seconds until the statuses of all untouched ones show it.
async fn wave(fleet: &FaultyFleet, broken: bool) -> f64 {
    let (phase, simulator) = (if broken { "Failed" } else { "Running" }, fleet.fleet.clusters.simulator().unwrap());
    let start = Instant::now();
    fleet.team.break_first(if broken { fleet.team.clusters() } else { 0 });
    simulator.break_first(if broken { TARGETS } else { 0 });
    while fleet.untouched(phase).await < TARGETS as usize - 1 {
        assert!(start.elapsed() < TIMEOUT, "not {phase}\n{}", logs(&fleet.fleet, REPLICAS));
        sleep(Duration::from_millis(20)).await;
    }
    let took = start.elapsed().as_secs_f64();
    // Status writes of one object are at least a second apart.
    sleep(Duration::from_millis(1_500)).await;
    took
}

async fn median_of_waves(fleet: &FaultyFleet, waves: usize) -> f64 {
    let mut took = Vec::new();
    for number in 0..waves {
        took.push(wave(fleet, number % 2 == 0).await);
    }
    took.sort_by(f64::total_cmp);
    (took[(waves - 1) / 2] + took[waves / 2]) / 2.0
}

#[tokio::test]
async fn a5_other_statuses_take_at_most_a_fifth_longer() {
    let fleet = FaultyFleet::start().await;
    let code = StatusCode::INTERNAL_SERVER_ERROR;
    let mut before = median_of_waves(&fleet, UNDISTURBED).await;
    for (fault, rule) in [
        ("one object", statuses(code).resource("integrationtargets").name(FIRST)),
        ("one kind", statuses(code).resource("integrations")),
        ("one namespace", statuses(code).namespace(TEAM)),
        ("one verb, PATCH", Rule::fail(code).method(Method::PATCH)),
    ] {
        let matched = fleet.hub.matched();
        fleet.hub.set([rule]);
        let faulty = median_of_waves(&fleet, FAULTY).await;
        fleet.hub.clear();
        fleet.all_running().await;
        let after = median_of_waves(&fleet, UNDISTURBED).await;
        let undisturbed = (before + after) / 2.0;
        assert!(fleet.hub.matched() > matched, "{fault}: the rule matched no request");
        println!("a5: {fault} fails: {faulty:.2} s, undisturbed {undisturbed:.2} s, ratio {:.2}", faulty / undisturbed);
        assert!(faulty <= undisturbed * MAX_RATIO + NOISE, "{fault}\n{}", logs(&fleet.fleet, REPLICAS));
        before = after;
    }
}

/// Clusters that become unreachable together.
const UNREACHABLE: u32 = 12;

/// Makes these clusters hang; returns the seconds until their statuses show it.
async fn unreachable(fleet: &FaultyFleet, clusters: std::ops::Range<u32>) -> f64 {
    let (start, simulator) = (Instant::now(), fleet.fleet.clusters.simulator().unwrap());
    let before = fleet.untouched("Running").await;
    clusters.clone().for_each(|number| simulator.inject(number, Some(Fault::HangAtConnect)));
    while fleet.untouched("Running").await + clusters.len() > before {
        assert!(start.elapsed() < TIMEOUT, "still Running\n{}", logs(&fleet.fleet, REPLICAS));
        sleep(Duration::from_millis(20)).await;
    }
    start.elapsed().as_secs_f64()
}

#[tokio::test]
async fn a5_hanging_events_delay_no_unreachable_cluster() {
    let fleet = FaultyFleet::start().await;
    let undisturbed = unreachable(&fleet, 1..1 + UNREACHABLE).await;
    let matched = fleet.hub.matched();
    fleet.hub.set([Rule::new(Action::Hang).resource("events")]);
    let hanging = unreachable(&fleet, 30..30 + UNREACHABLE).await;
    println!("a5: {UNREACHABLE} become unreachable: {undisturbed:.1} s, while Events hang {hanging:.1} s");
    assert!(fleet.hub.matched() > matched, "the rule matched no Event");
    assert!(hanging <= undisturbed + MAX_WRONG.as_secs_f64(), "{}", logs(&fleet.fleet, REPLICAS));
}
