//! Requests that meet, come late, or are never answered.

use http::Method;

use super::*;

/// Asks the crate alone.
async fn ask_raw(hub: &ScriptedHub, candidate: usize) -> bool {
    let params = LeaseLockParams {
        holder_id: format!("raw-{candidate}"),
        lease_name: "ksit-coordinator".to_owned(),
        lease_ttl: TTL,
    };
    let lock = LeaseLock::new(hub.client(candidate), "ksit-system", params);
    matches!(lock.try_acquire_or_renew().await, Ok(kube_leader_election::LeaseLockResult::Acquired(_)))
}

/// Both read the Lease before either writes it.
fn writes_are_slow(request: &Request) -> Fate {
    if request.method == Method::PATCH { Fate::done_after(Duration::from_secs(1)) } else { Fate::prompt() }
}

#[tokio::test(start_paused = true)]
async fn the_crate_alone_lets_two_acquire() {
    let boards = [(); 2].map(|()| Arc::new(LeaseBoard::new(Clock::start(), RENEW)));
    let hub = ScriptedHub::new(Some(vacated()), boards, writes_are_slow);
    assert_eq!(tokio::join!(ask_raw(&hub, 0), ask_raw(&hub, 1)), (true, true));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_acquire_together_one_is_left_as_soon_as_the_watch_tells() {
    let mut world = World::with_script(Some(vacated()), writes_are_slow).await;
    world.leader_within(SOON).await;
    world.pass(SOON).await;
    assert!(world.both <= LAG + STEP * 2, "{:?}", world.both);
    let leader = world.leader_within(SOON).await;
    assert!(world.hub.holder().starts_with(&format!("ksit-{leader}")));
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_that_make_the_lease_together_one_leads() {
    let slow = |request: &Request| match request.method {
        Method::POST => Fate::done_after(Duration::from_secs(1)),
        _ => Fate::prompt(),
    };
    let mut world = World::with_script(None, slow).await;
    let leader = world.leader_within(SOON).await;
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_lands_after_another_acquired_changes_nothing() {
    let mut world = World::new(Some(vacated())).await;
    let first = world.first_leader().await;
    // Its next renewal wanders about for 20 s; after that nothing of it comes through for a while.
    world.hub.set_script(move |request| match (request.candidate == first, &request.method, request.number) {
        (true, &Method::PUT, 1) => Fate::done_after(Duration::from_secs(20)),
        (true, ..) if request.number > 1 => Fate::never_answered(false),
        _ => Fate::prompt(),
    });
    world.pass(TTL + SOON).await;
    let second = world.leader_within(SOON).await;
    assert_eq!((second, world.both), (1 - first, Duration::ZERO));
    world.pass(SOON * 2).await;
    world.assert_settled(second).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_deadline_acquires_nothing() {
    let mut world = World::with_script(Some(vacated()), |request| match (&request.method, request.number) {
        (&Method::PATCH, 1) => Fate { answered: Some(Duration::from_secs(8)), ..Fate::prompt() },
        _ => Fate::prompt(),
    })
    .await;
    // It was done, and nobody was told: nobody may lead by it.
    world.pass(Duration::from_secs(3)).await;
    assert_eq!((world.leaders(), world.hub.holder().is_empty()), (vec![], false));
    let leader = world.leader_within(TTL + SOON).await;
    assert!(world.hub.holder().starts_with(&format!("ksit-{leader}")), "who holds the Lease asks again");
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn an_acquire_that_lands_late_takes_the_lead_from_whoever_has_it_by_then() {
    // Without a resourceVersion it can't be refused: the holder must see it, and go.
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
    assert!(world.both <= LAG + STEP * 2, "{:?}", world.both);
    let leader = world.leader_within(TTL + SOON).await;
    world.assert_settled(leader).await;
}

#[tokio::test(start_paused = true)]
async fn giving_back_what_another_has_by_now_changes_nothing() {
    let mut world = World::new(Some(vacated())).await;
    let first = world.first_leader().await;
    // It resign; the write that gives the Lease back takes 20 s.
    world.hub.set_script(move |request| match (request.candidate == first, &request.method) {
        (true, &Method::PUT) => Fate::done_after(Duration::from_secs(20)),
        _ => Fate::prompt(),
    });
    world.seats[first].resign.notify_one();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.leaders(), [] as [usize; 0]);
    let second = world.leader_within(TTL + SOON).await;
    assert_eq!(second, 1 - first, "who resigned lets others go first");
    world.pass(SOON * 3).await;
    world.assert_settled(second).await;
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_not_given_back_before_the_writers_have_ended() {
    let mut world = World::new(Some(vacated())).await;
    let first = world.first_leader().await;
    world.seats[first].role_running.send_replace(true);
    world.seats[first].resign.notify_one();
    world.pass(Duration::from_secs(1)).await;
    assert!(world.hub.holder().starts_with(&format!("ksit-{first}")), "its writers go on");
    world.seats[first].role_running.send_replace(false);
    world.pass(LAG).await;
    assert_eq!(world.hub.holder(), "");
    assert_eq!(world.leader_within(SOON).await, 1 - first);
}

#[tokio::test(start_paused = true)]
async fn without_answers_the_lead_ends_and_passes_on_whether_the_requests_were_done_or_not() {
    for is_done in [true, false] {
        let mut world = World::new(Some(vacated())).await;
        let first = world.first_leader().await;
        // Its renewals are done and it doesn't hear of it, or nothing of it comes through at all.
        world.hub.set_script(move |request| match (request.candidate == first, &request.method) {
            (true, &Method::PUT) => Fate::never_answered(is_done),
            (true, _) if !is_done => Fate::never_answered(false),
            _ => Fate::prompt(),
        });
        world.pass(TTL + Duration::from_secs(1)).await;
        assert!(!world.leaders().contains(&first), "done: {is_done}");
        if is_done {
            // Who can renew keeps the Lease from others; when answers come again it leads on.
            world.hub.set_script(|_| Fate::prompt());
        }
        let leader = world.leader_within(TTL + SOON).await;
        assert_eq!((leader == first, world.both), (is_done, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_cut_off_leads_no_more_before_another_does() {
    let mut world = World::new(Some(vacated())).await;
    let first = world.first_leader().await;
    world.cut_off(first, true);
    world.pass(TTL + SOON).await;
    let second = world.leader_within(SOON).await;
    assert_eq!((second, world.both), (1 - first, Duration::ZERO));
    world.cut_off(first, false);
    world.assert_settled(second).await;
}
