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
async fn event_older_than_an_answer_is_ignored() {
    let board = board();
    board.apply_event(lease("ksit-0", "10", Some("ksit-0_uid_b")));
    later().await;
    board.apply_event(lease("ksit-0", "9", Some("ksit-0_uid_a")));
    board.apply_deletion(lease("ksit-0", "9", None));
    let seen = board.members("ksit").remove("ksit-0").unwrap();
    assert_eq!(seen.holder, Holder::Process(Incarnation::new("ksit-0", "uid", "b")));
    assert_eq!(seen.changed, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn list_outranks_entries_received_before_it_started() {
    let board = board();
    board.apply_event(lease("ksit-0", "1000", Some("ksit-0_uid_a")));
    later().await;
    let since = board.clock.now();
    board.apply_read(lease("ksit-0", "7", Some("ksit-0_uid_b")), since);
    assert_eq!(holder(&board), Some(Holder::Process(Incarnation::new("ksit-0", "uid", "b"))), "a restored hub");
    later().await;
    board.apply_event(lease("ksit-0", "9", Some("")));
    board.apply_read(lease("ksit-0", "8", Some("ksit-0_uid_b")), since);
    assert_eq!(holder(&board), Some(Holder::Nobody), "an answer received during the list");
}

#[tokio::test(start_paused = true)]
async fn lease_missing_in_a_list_is_deleted_unless_newer() {
    let board = board();
    board.apply_event(lease("ksit-0", "3", Some("ksit-0_uid_a")));
    later().await;
    let since = board.clock.now();
    board.apply_event(lease("ksit-1", "4", Some("ksit-1_uid_a")));
    board.finish_list(&Default::default(), since);
    assert!(board.is_listed());
    assert_eq!(holder(&board), Some(Holder::Nobody));
    assert!(board.lease("ksit-0").is_none() && board.lease("ksit-1").is_some());
}

#[tokio::test(start_paused = true)]
async fn deleted_lease_can_be_created_again() {
    let board = board();
    board.apply_event(lease("ksit-0", "3", Some("ksit-0_uid_a")));
    board.apply_deletion(lease("ksit-0", "4", Some("ksit-0_uid_a")));
    assert_eq!(holder(&board), Some(Holder::Nobody));
    later().await;
    board.apply_event(lease("ksit-0", "5", Some("ksit-0_uid_a")));
    assert_eq!(board.members("ksit")["ksit-0"].held_since, Duration::from_secs(1));
}

#[test]
fn lease_held_by_another_name_counts_as_taken() {
    assert_eq!(member_holder("ksit-0", None), Holder::Nobody);
    assert_eq!(member_holder("ksit-0", Some("")), Holder::Nobody);
    for other in ["mallory", "ksit-1_uid_n", "ksit-0_uid", "ksit-0_uid_n_x", "_"] {
        assert_eq!(member_holder("ksit-0", Some(other)), Holder::Taken, "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn renewal_updates_the_change_time_but_not_held_since() {
    let board = board();
    board.apply_event(lease("ksit-0", "3", Some("ksit-0_uid_a")));
    later().await;
    board.apply_event(lease("ksit-0", "4", Some("ksit-0_uid_a")));
    let seen = board.members("ksit").remove("ksit-0").unwrap();
    assert_eq!((seen.held_since, seen.changed), (Duration::ZERO, Duration::from_secs(1)));
    assert!(board.members("other").is_empty());
}

fn is_rolled_back(board: &LeaseBoard) -> bool {
    *board.history().changes().borrow() > 0
}

#[tokio::test(start_paused = true)]
async fn rollback_is_detected_by_a_later_read() {
    let board = board();
    board.apply_event(lease("ksit-0", "1000", Some("ksit-0_uid_a")));
    board.apply_event(lease("ksit-1", "1001", Some("ksit-1_uid_a")));
    later().await;
    let sent_at = board.clock.now();
    board.apply_read(lease("ksit-0", "1000", Some("ksit-0_uid_a")), sent_at);
    assert!(!is_rolled_back(&board), "the same as before");
    board.apply_read(lease("ksit-0", "7", Some("ksit-0_uid_b")), sent_at);
    assert_eq!(holder(&board), Some(Holder::Process(Incarnation::new("ksit-0", "uid", "b"))));
    assert!(is_rolled_back(&board));
    // The versions of other Leases are outdated, too.
    board.apply_event(lease("ksit-1", "8", Some("")));
    assert_eq!(board.members("ksit")["ksit-1"].holder, Holder::Nobody);
}

#[tokio::test(start_paused = true)]
async fn rollback_is_detected_by_the_version_of_an_own_write() {
    let board = board();
    board.apply_event(lease("ksit-0", "90", Some("ksit-0_uid_a")));
    board.apply_event(lease("ksit-1", "100", Some("ksit-1_uid_a")));
    later().await;
    let sent_at = board.clock.now();
    board.apply_write(lease("ksit-0", "101", Some("ksit-0_uid_a")), sent_at);
    assert!(!is_rolled_back(&board));
    later().await;
    board.apply_write(lease("ksit-0", "101", Some("ksit-0_uid_a")), board.clock.now());
    board.apply_event(lease("ksit-1", "103", Some("ksit-1_uid_a")));
    later().await;
    board.apply_write(lease("ksit-0", "101", Some("ksit-0_uid_a")), board.clock.now());
    assert!(!is_rolled_back(&board), "a write that changes nothing");
    board.apply_write(lease("ksit-0", "102", Some("ksit-0_uid_a")), board.clock.now());
    assert!(is_rolled_back(&board), "another Lease had 103 before this write was sent");
}

#[tokio::test(start_paused = true)]
async fn late_answer_is_not_mistaken_for_a_rollback() {
    let board = board();
    let sent_at = board.clock.now();
    later().await;
    board.apply_event(lease("ksit-0", "10", Some("ksit-0_uid_b")));
    board.apply_read(lease("ksit-0", "9", Some("ksit-0_uid_a")), sent_at);
    assert_eq!(holder(&board), Some(Holder::Process(Incarnation::new("ksit-0", "uid", "b"))));
    assert!(!is_rolled_back(&board));
}
