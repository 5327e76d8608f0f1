//! Rounds while the hub is away.

use super::*;
use crate::controllers::worker::test_kit::{Hub, assignment, context, hub};

#[tokio::test]
async fn while_the_hub_is_away_a_target_is_looked_at_by_the_secret_that_is_known() {
    let (state, hub) = hub(Hub::Answers);
    let (context, assignment) = (context(hub), assignment());
    let Ok(first) = run(&context, &assignment, None, false).await else { panic!("the hub answers") };
    let mut access = first.access.expect("the cluster can't be reached, which is no fault of the Secret");
    state.send_replace(Hub::IsAway);
    // It was to be read again just now.
    access.reread_at = Instant::now();
    let Ok(second) = run(&context, &assignment, Some(access), false).await else { panic!("it was not looked at") };
    assert!(matches!(second.outcome, Some(Outcome::Failed(_))) == matches!(first.outcome, Some(Outcome::Failed(_))));
    assert_eq!(second.access.map(|access| access.secret_version), Some("1".to_owned()));
    // Without any Secret there is nothing to look with.
    assert!(run(&context, &assignment, None, false).await.is_err());
}
