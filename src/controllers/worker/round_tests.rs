//! Rounds during a hub outage.

use super::*;
use crate::controllers::worker::test_kit::{Hub, assignment, context, hub};

#[tokio::test]
async fn round_uses_the_cached_secret_while_the_hub_is_down() {
    let (state, hub) = hub(Hub::Answers);
    let (context, assignment) = (context(hub), assignment());
    let Ok(first) = run(&context, &assignment, None, Standing::Healthy, None).await else { panic!("the hub answers") };
    let mut access = first.access.expect("an unreachable cluster does not invalidate the Secret");
    state.send_replace(Hub::Down);
    // The periodic read is due.
    access.reread_at = Instant::now();
    let Ok(second) = run(&context, &assignment, Some(access), Standing::Healthy, None).await else {
        panic!("the target was not checked")
    };
    assert!(matches!(second.outcome, Some(Outcome::Failed(_))) == matches!(first.outcome, Some(Outcome::Failed(_))));
    assert_eq!(second.access.and_then(|access| access.secret_version), Some("1".to_owned()));
    // Without a cached Secret the round can't run.
    assert!(run(&context, &assignment, None, Standing::Healthy, None).await.is_err());
}
