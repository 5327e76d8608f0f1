//! Terms, claims, epochs, reports and status writes, with messages that are late, lost and doubled, in every order.
//!
//! ```text
//! replica ─ claim, move of the slot ─> map  ┐
//! worker ── report ─> any coordinator       ├ each message waits for ever, and may come twice or never
//! coordinator ───── status ─> object        ┘
//! ```
//!
//! Leadership is worth nothing here: any replica may believe at any time that it leads, and go on believing it. So a
//! pause, a partition, an outage of the hub and a clock that errs are all among the orders that are tried; what holds
//! here holds by the term alone.

mod state;
mod world;

use stateright::{Checker, HasDiscoveries, Model};

use state::Budget;
use world::{Broken, World};

const ONE_CLAIMANT: &str = "each term has one claimant, and terms only grow";
const NEVER_FALLS: &str = "the term of an object never falls";
const FENCED: &str = "nothing of a former term lands once a newer one is claimed";
const OWNERS_REPORT: &str = "a status is from a report of the slot's owner";

/// Nothing is violated in any order of so many events, and what should be possible is.
fn assert_holds(budget: Budget, possible: &[&str]) {
    let checker = World { broken: Broken::Nothing, budget }.checker().threads(2).spawn_bfs().join();
    let found = checker.discoveries();
    let states = checker.unique_state_count();
    for name in [ONE_CLAIMANT, NEVER_FALLS, FENCED, OWNERS_REPORT] {
        assert!(!found.contains_key(name), "{name}: {:?}", found[name].clone().into_actions());
    }
    possible.iter().for_each(|name| assert!(found.contains_key(name), "never in {states} states: {name}"));
    assert!(states > 10_000, "only {states} states");
}

/// Without a rule the properties are violated, after a few events.
fn assert_violated(broken: Broken, properties: &[&'static str]) {
    let model = World { broken, budget: Budget { claims: 2, moves: 2, reports: 1, statuses: 2, crashes: 0 } };
    let until = HasDiscoveries::AllOf(properties.iter().copied().collect());
    let found = model.checker().threads(2).finish_when(until).spawn_bfs().join().discoveries();
    for name in properties {
        let path = found.get(name).unwrap_or_else(|| panic!("{broken:?}: not found: {name}"));
        assert!(path.clone().into_actions().len() > 2, "{broken:?}: {name} is violated from the start");
    }
}

#[test]
fn all_holds_whoever_claims_when() {
    let budget = Budget { claims: 2, moves: 1, reports: 1, statuses: 2, crashes: 0 };
    assert_holds(budget, &[world::SECOND_TERM, world::REFUSED]);
}

#[test]
fn all_holds_wherever_the_slot_goes() {
    let budget = Budget { claims: 1, moves: 2, reports: 1, statuses: 2, crashes: 0 };
    assert_holds(budget, &[world::SECOND_TERM, world::REFUSED, world::MOVED]);
}

#[test]
fn all_holds_whoever_crashes() {
    let budget = Budget { claims: 1, moves: 1, reports: 1, statuses: 2, crashes: 1 };
    assert_holds(budget, &[world::SECOND_TERM, world::REFUSED]);
}

#[test]
fn without_the_fence_a_former_coordinator_writes() {
    assert_violated(Broken::Fence, &[FENCED]);
}

#[test]
fn without_fence_and_rule_of_the_object_a_term_falls() {
    assert_violated(Broken::FenceAndRule, &[FENCED, NEVER_FALLS]);
}

#[test]
fn without_versions_two_claim_one_term() {
    assert_violated(Broken::ClaimVersion, &[ONE_CLAIMANT]);
}

#[test]
fn without_the_epoch_a_report_from_before_is_believed() {
    assert_violated(Broken::ReportEpoch, &[OWNERS_REPORT]);
}
