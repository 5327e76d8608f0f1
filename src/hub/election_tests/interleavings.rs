//! Tests requests that race, arrive late, or are never answered.

use http::Method;

use super::*;

/// Acquires with the crate alone.
async fn acquire_raw(hub: &ScriptedHub, candidate: usize) -> bool {
    let params = LeaseLockParams {
        holder_id: format!("raw-{candidate}"),
        lease_name: "ksit-coordinator".to_owned(),
        lease_ttl: TTL,
    };
    let lock = LeaseLock::new(hub.client(candidate), "ksit-system", params);
    matches!(lock.try_acquire_or_renew().await, Ok(kube_leader_election::LeaseLockResult::Acquired(_)))
}

/// Delays writes, so that both candidates read the Lease before either writes it.
fn slow_writes(request: &Request) -> Fate {
    if request.method == Method::PATCH { Fate::done_after(Duration::from_secs(1)) } else { Fate::prompt() }
}

#[tokio::test(start_paused = true)]
async fn crate_alone_lets_two_acquire() {
    let boards = [(); 2].map(|()| Arc::new(LeaseBoard::new(Clock::start(), RENEW)));
    let hub = ScriptedHub::new(Some(vacated()), boards, slow_writes);
    assert_eq!(tokio::join!(acquire_raw(&hub, 0), acquire_raw(&hub, 1)), (true, true));
}

#[tokio::test(start_paused = true)]
async fn simultaneous_acquires_leave_one_leader_after_the_watch() {
    let mut world = World::with_script(Some(vacated()), slow_writes).await;
    world.leader_within(SOON).await;
    world.pass(SOON).await;
    assert!(world.overlap <= LAG + STEP * 2, "{:?}", world.overlap);
    let leader = world.leader_within(SOON).await;
    assert!(world.hub.holder().starts_with(&format!("ksit-{leader}")));
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn simultaneous_creates_leave_one_leader() {
    let slow = |request: &Request| match request.method {
        Method::POST => Fate::done_after(Duration::from_secs(1)),
        _ => Fate::prompt(),
    };
    let mut world = World::with_script(None, slow).await;
    let leader = world.leader_within(SOON).await;
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn late_renewal_after_another_acquired_changes_nothing() {
    let mut world = World::new(Some(vacated())).await;
    let first = world.first_leader().await;
    // Its next renewal arrives after 20 s; its later requests get lost for a while.
    world.hub.set_script(move |request| match (request.candidate == first, &request.method, request.number) {
        (true, &Method::PUT, 1) => Fate::done_after(Duration::from_secs(20)),
        (true, ..) if request.number > 1 => Fate::never_answered(false),
        _ => Fate::prompt(),
    });
    world.pass(TTL + SOON).await;
    let second = world.leader_within(SOON).await;
    assert_eq!((second, world.overlap), (1 - first, Duration::ZERO));
    world.pass(SOON * 2).await;
    world.assert_settled(second).await;
}

#[tokio::test(start_paused = true)]
async fn answer_after_the_deadline_acquires_nothing() {
    let mut world = World::with_script(Some(vacated()), |request| match (&request.method, request.number) {
        (&Method::PATCH, 1) => Fate { answered: Some(Duration::from_secs(8)), ..Fate::prompt() },
        _ => Fate::prompt(),
    })
    .await;
    // The write was applied but its answer came too late: it must not lead to a claim.
    world.pass(Duration::from_secs(3)).await;
    assert_eq!((world.leaders(), world.hub.holder().is_empty()), (vec![], false));
    let leader = world.leader_within(TTL + SOON).await;
    assert!(world.hub.holder().starts_with(&format!("ksit-{leader}")), "the holder acquires again");
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn late_acquire_takes_the_lead_from_the_present_leader() {
    // Without a resourceVersion the write can't conflict: the holder must notice it and step down.
    let mut world = World::with_script(Some(vacated()), |request| match (request.candidate, &request.method) {
        (0, &Method::PATCH) if request.number == 1 => Fate::done_after(Duration::from_secs(15)),
        (0, _) if request.number == 1 => Fate::prompt(),
        (0, _) => Fate::never_answered(false),
        _ => Fate::prompt(),
    })
    .await;
    world.pass(SOON).await;
    assert_eq!(world.leader_within(TTL).await, 1);
    world.pass(Duration::from_secs(5)).await;
    world.hub.set_script(|_| Fate::prompt());
    world.pass(Duration::from_secs(10)).await;
    assert!(world.overlap <= LAG + STEP * 2, "{:?}", world.overlap);
    let leader = world.leader_within(TTL + SOON).await;
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn late_release_of_anothers_lease_changes_nothing() {
    let mut world = World::new(Some(vacated())).await;
    let first = world.first_leader().await;
    // It resigns; the write that releases the Lease takes 20 s.
    world.hub.set_script(move |request| match (request.candidate == first, &request.method) {
        (true, &Method::PUT) => Fate::done_after(Duration::from_secs(20)),
        _ => Fate::prompt(),
    });
    world.leaderships[first].resign.notify_one();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.leaders(), [] as [usize; 0]);
    let second = world.leader_within(TTL + SOON).await;
    assert_eq!(second, 1 - first, "a candidate that resigned lets others go first");
    world.pass(SOON * 3).await;
    world.assert_settled(second).await;
}

#[tokio::test(start_paused = true)]
async fn lease_is_released_only_after_the_writers_ended() {
    let mut world = World::new(Some(vacated())).await;
    let first = world.first_leader().await;
    world.leaderships[first].role_running.send_replace(true);
    world.leaderships[first].resign.notify_one();
    world.pass(Duration::from_secs(1)).await;
    assert!(world.hub.holder().starts_with(&format!("ksit-{first}")), "its writers are still running");
    world.leaderships[first].role_running.send_replace(false);
    world.pass(LAG).await;
    assert_eq!(world.hub.holder(), "");
    assert_eq!(world.leader_within(SOON).await, 1 - first);
}

#[tokio::test(start_paused = true)]
async fn lead_ends_without_answers_even_if_requests_are_applied() {
    for is_done in [true, false] {
        let mut world = World::new(Some(vacated())).await;
        let first = world.first_leader().await;
        // Its renewals are applied but never answered, or never arrive at all.
        world.hub.set_script(move |request| match (request.candidate == first, &request.method) {
            (true, &Method::PUT) => Fate::never_answered(is_done),
            (true, _) if !is_done => Fate::never_answered(false),
            _ => Fate::prompt(),
        });
        world.pass(TTL + Duration::from_secs(1)).await;
        assert!(!world.leaders().contains(&first), "done: {is_done}");
        if is_done {
            // A holder that still renews keeps the Lease from others; it leads again once answers arrive.
            world.hub.set_script(|_| Fate::prompt());
        }
        let leader = world.leader_within(TTL + SOON).await;
        assert_eq!((leader == first, world.overlap), (is_done, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn leader_cut_off_stops_leading_before_another_starts() {
    let mut world = World::new(Some(vacated())).await;
    let first = world.first_leader().await;
    world.cut_off(first, true);
    world.pass(TTL + SOON).await;
    let second = world.leader_within(SOON).await;
    assert_eq!((second, world.overlap), (1 - first, Duration::ZERO));
    world.cut_off(first, false);
    world.assert_settled(second).await;
}
