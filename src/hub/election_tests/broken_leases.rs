//! Tests Leases that were edited by hand, or written by another clock.

use super::*;

/// Asserts that no candidate leads before the holder has been silent for a whole TTL, and that one does soon after.
async fn is_taken_after_a_ttl(spec: LeaseSpec) {
    let mut world = World::new(Some(spec)).await;
    world.pass(TTL - Duration::from_secs(1)).await;
    assert_eq!(world.leaders(), [] as [usize; 0], "{:?}", world.hub.lease());
    let leader = world.leader_within(SOON).await;
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn clock_of_a_dead_holder_is_ignored() {
    for renew_time in [an_hour(true), an_hour(false), "2099-01-01T00:00:00.000000Z".to_owned()] {
        is_taken_after_a_ttl(held(&renew_time)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn renewing_holder_keeps_the_lease_whatever_its_clock() {
    for is_ahead in [true, false] {
        let mut world = World::new(Some(held(&an_hour(is_ahead)))).await;
        for transitions in 0..30 {
            // A renewal with an unchanged renewTime is still a change of the object.
            let renewed = LeaseSpec { lease_transitions: Some(transitions), ..held(&an_hour(is_ahead)) };
            world.hub.write(renewed);
            world.pass(RENEW).await;
            assert_eq!(world.leaders(), [] as [usize; 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lease_with_a_missing_field_is_repaired() {
    let whole = || held(&an_hour(true));
    let broken = [
        LeaseSpec { holder_identity: None, ..whole() },
        LeaseSpec { renew_time: None, ..whole() },
        LeaseSpec { acquire_time: None, ..whole() },
        LeaseSpec { lease_duration_seconds: None, ..whole() },
        LeaseSpec { lease_transitions: None, ..whole() },
        LeaseSpec::default(),
    ];
    for spec in broken {
        let mut world = World::new(Some(spec)).await;
        let leader = world.leader_within(SOON).await;
        world.assert_settled(leader).await;
    }
}

#[tokio::test(start_paused = true)]
async fn crate_alone_is_stuck_on_a_missing_field() {
    let boards = [(); 2].map(|()| Arc::new(LeaseBoard::new(Clock::start(), RENEW)));
    let spec = LeaseSpec { renew_time: None, ..vacated() };
    let hub = ScriptedHub::new(Some(spec), boards, |_| Fate::prompt());
    let params =
        LeaseLockParams { holder_id: "raw".to_owned(), lease_name: "ksit-coordinator".to_owned(), lease_ttl: TTL };
    assert!(LeaseLock::new(hub.client(0), "ksit-system", params).try_acquire_or_renew().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn lease_with_an_empty_holder_is_free() {
    let mut world = World::new(Some(LeaseSpec { holder_identity: Some(String::new()), ..held(&an_hour(true)) })).await;
    let leader = world.leader_within(SOON).await;
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn deleted_lease_is_created_again() {
    let mut world = World::new(None).await;
    let leader = world.leader_within(SOON).await;
    world.hub.delete();
    world.pass(RENEW + SOON).await;
    let again = world.leader_within(SOON).await;
    assert!(world.hub.holder().starts_with(&format!("ksit-{again}")));
    assert!(world.overlap <= LAG + RENEW, "{:?}", world.overlap);
    world.assert_settled(again).await;

    // Deleted, and created again by a stranger that then stays silent.
    world.hub.delete();
    world.hub.write(held("2099-01-01T00:00:00.000000Z"));
    world.pass(STEP * 3).await;
    assert_eq!(world.leaders(), [] as [usize; 0], "{leader} saw another holder");
    let next = world.leader_within(TTL + SOON).await;
    world.assert_settled(next).await;
}

#[tokio::test(start_paused = true)]
async fn lease_created_again_under_a_leader_has_its_owner() {
    let mut world = World::new(None).await;
    for _ in 0..2 {
        let leader = world.first_leader().await;
        world.assert_settled(leader).await;
        assert_eq!(world.hub.lease().unwrap().metadata.owner_references, Some(vec![owner()]));
        world.hub.delete();
        world.pass(RENEW + SOON).await;
    }
}
