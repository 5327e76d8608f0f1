use super::*;
use kube::api::ObjectMeta;

fn lease(name: &str, version: &str, holder: Option<&str>) -> Lease {
    let labels = [(INSTALLATION_LABEL.to_owned(), "ksit".to_owned())].into();
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        resource_version: Some(version.to_owned()),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    let spec = LeaseSpec { holder_identity: holder.map(str::to_owned), ..LeaseSpec::default() };
    Lease { metadata, spec: Some(spec) }
}

fn board() -> LeaseBoard {
    LeaseBoard::new(Clock::start(), Duration::from_secs(6))
}

fn holder(board: &LeaseBoard) -> Option<Holder> {
    board.members("ksit").remove("ksit-0").map(|lease| lease.holder)
}

async fn later() {
    tokio::time::advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_from_before_an_answer_changes_nothing() {
    let board = board();
    board.see(lease("ksit-0", "10", Some("ksit-0_uid_b")));
    later().await;
    board.see(lease("ksit-0", "9", Some("ksit-0_uid_a")));
    board.put(lease("ksit-0", "9", None), true, None);
    let seen = board.members("ksit").remove("ksit-0").unwrap();
    assert_eq!(seen.holder, Holder::Process(Incarnation::new("ksit-0", "uid", "b")));
    assert_eq!(seen.changed, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_list_outranks_what_was_seen_before_it_began() {
    let board = board();
    board.see(lease("ksit-0", "1000", Some("ksit-0_uid_a")));
    later().await;
    let since = board.clock.now();
    board.put(lease("ksit-0", "7", Some("ksit-0_uid_b")), false, Some(since));
    assert_eq!(holder(&board), Some(Holder::Process(Incarnation::new("ksit-0", "uid", "b"))), "a restored hub");
    later().await;
    board.see(lease("ksit-0", "9", Some("")));
    board.put(lease("ksit-0", "8", Some("ksit-0_uid_b")), false, Some(since));
    assert_eq!(holder(&board), Some(Holder::Nobody), "an answer that came while the list was under way");
}

#[tokio::test(start_paused = true)]
async fn what_a_list_does_not_show_is_gone_unless_it_is_newer() {
    let board = board();
    board.see(lease("ksit-0", "3", Some("ksit-0_uid_a")));
    later().await;
    let since = board.clock.now();
    board.see(lease("ksit-1", "4", Some("ksit-1_uid_a")));
    board.listed(&Default::default(), since);
    assert!(board.is_listed());
    assert_eq!(holder(&board), Some(Holder::Nobody));
    assert!(board.lease("ksit-0").is_none() && board.lease("ksit-1").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_can_be_made_again() {
    let board = board();
    board.see(lease("ksit-0", "3", Some("ksit-0_uid_a")));
    board.put(lease("ksit-0", "4", Some("ksit-0_uid_a")), true, None);
    assert_eq!(holder(&board), Some(Holder::Nobody));
    later().await;
    board.see(lease("ksit-0", "5", Some("ksit-0_uid_a")));
    assert_eq!(board.members("ksit")["ksit-0"].held_since, Duration::from_secs(1));
}

#[test]
fn a_holder_of_another_name_has_taken_it() {
    assert_eq!(member_holder("ksit-0", None), Holder::Nobody);
    assert_eq!(member_holder("ksit-0", Some("")), Holder::Nobody);
    for thief in ["mallory", "ksit-1_uid_n", "ksit-0_uid", "ksit-0_uid_n_x", "_"] {
        assert_eq!(member_holder("ksit-0", Some(thief)), Holder::Taken, "{thief}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_keeps_the_holder_and_moves_the_change() {
    let board = board();
    board.see(lease("ksit-0", "3", Some("ksit-0_uid_a")));
    later().await;
    board.see(lease("ksit-0", "4", Some("ksit-0_uid_a")));
    let seen = board.members("ksit").remove("ksit-0").unwrap();
    assert_eq!((seen.held_since, seen.changed), (Duration::ZERO, Duration::from_secs(1)));
    assert!(board.members("other").is_empty());
}

fn has_gone_back(board: &LeaseBoard) -> bool {
    *board.history().changes().borrow() > 0
}

#[tokio::test(start_paused = true)]
async fn restored_lease_of_a_later_question_is_the_newest() {
    let board = board();
    board.see(lease("ksit-0", "1000", Some("ksit-0_uid_a")));
    board.see(lease("ksit-1", "1001", Some("ksit-1_uid_a")));
    later().await;
    let asked = board.clock.now();
    board.read(lease("ksit-0", "1000", Some("ksit-0_uid_a")), asked);
    assert!(!has_gone_back(&board), "the same as before");
    board.read(lease("ksit-0", "7", Some("ksit-0_uid_b")), asked);
    assert_eq!(holder(&board), Some(Holder::Process(Incarnation::new("ksit-0", "uid", "b"))));
    assert!(has_gone_back(&board));
    // Other Leases are of the lost past, too.
    board.see(lease("ksit-1", "8", Some("")));
    assert_eq!(board.members("ksit")["ksit-1"].holder, Holder::Nobody);
}

#[tokio::test(start_paused = true)]
async fn restored_hub_shows_in_the_version_of_an_own_write() {
    let board = board();
    board.see(lease("ksit-0", "90", Some("ksit-0_uid_a")));
    board.see(lease("ksit-1", "100", Some("ksit-1_uid_a")));
    later().await;
    let asked = board.clock.now();
    board.written(lease("ksit-0", "101", Some("ksit-0_uid_a")), asked);
    assert!(!has_gone_back(&board));
    later().await;
    board.written(lease("ksit-0", "101", Some("ksit-0_uid_a")), board.clock.now());
    board.see(lease("ksit-1", "103", Some("ksit-1_uid_a")));
    later().await;
    board.written(lease("ksit-0", "101", Some("ksit-0_uid_a")), board.clock.now());
    assert!(!has_gone_back(&board), "a write that changes nothing");
    board.written(lease("ksit-0", "102", Some("ksit-0_uid_a")), board.clock.now());
    assert!(has_gone_back(&board), "another Lease had 103 before this was asked");
}

#[tokio::test(start_paused = true)]
async fn restored_lease_is_not_mistaken_for_an_answer_that_came_late() {
    let board = board();
    let asked = board.clock.now();
    later().await;
    board.see(lease("ksit-0", "10", Some("ksit-0_uid_b")));
    board.read(lease("ksit-0", "9", Some("ksit-0_uid_a")), asked);
    assert_eq!(holder(&board), Some(Holder::Process(Incarnation::new("ksit-0", "uid", "b"))));
    assert!(!has_gone_back(&board));
}
