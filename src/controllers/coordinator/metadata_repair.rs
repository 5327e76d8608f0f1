//! Small writes beside the statuses: slot labels, the Go toolkit's finalizer, and whether a user's type or
//! maintenance window can be used.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::{Client, ResourceExt};
use tokio::time::{sleep, timeout};

use super::write_fence::WriteFence;

use crate::api::{Integration, IntegrationTarget, IntegrationType, MaintenanceWindow};
use crate::domain::priority::Priority;
use crate::hub::{
    CoalescingQueue, PROMPT_TIMEOUT, accept_type, accept_window, cause, label_slot, remove_legacy_finalizer,
};

/// Tasks by the uid of their object.
pub type RepairQueue = CoalescingQueue<String, RepairTask>;

#[derive(Debug)]
pub enum RepairTask {
    RemoveFinalizer(Box<Integration>),
    LabelSlot(Box<IntegrationTarget>),
    AcceptType(Box<IntegrationType>),
    AcceptWindow(Box<MaintenanceWindow>),
}

const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Pause while nothing may be written.
const CLOSED: Duration = Duration::from_millis(100);

/// Concurrent writes: a new fleet of thousands has to be labelled.
const AT_A_TIME: usize = 8;

impl RepairQueue {
    pub fn offer(&self, task: RepairTask) {
        let uid = match &task {
            RepairTask::RemoveFinalizer(object) => object.uid(),
            RepairTask::LabelSlot(object) => object.uid(),
            RepairTask::AcceptType(object) => object.uid(),
            RepairTask::AcceptWindow(object) => object.uid(),
        };
        self.enqueue(uid.unwrap_or_default(), task, Priority::CanWait);
    }
}

/// Runs forever. A task that failed waits for its retry without occupying one of the places.
pub async fn run_repairs(client: Client, repairs: &RepairQueue, fence: &WriteFence) {
    let (mut under_way, mut failed) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            (uid, task) = repairs.dequeue(), if under_way.len() < AT_A_TIME => {
                under_way.push(do_one(&client, fence, uid, task));
            }
            Some(again) = under_way.next() => failed.extend(again.map(|task| async {
                sleep(RETRY_DELAY).await;
                task
            })),
            Some((uid, task)) = failed.next() => repairs.requeue(uid, task, Priority::CanWait),
        }
    }
}

/// Returns the task if it failed.
async fn do_one(client: &Client, fence: &WriteFence, uid: String, task: RepairTask) -> Option<(String, RepairTask)> {
    while !fence.may_write() {
        sleep(CLOSED).await;
    }
    let (action, object) = match &task {
        RepairTask::RemoveFinalizer(object) => ("remove the Go toolkit's finalizer", object.name_any()),
        RepairTask::LabelSlot(object) => ("set the slot label", object.name_any()),
        RepairTask::AcceptType(object) => ("write the status of the type", object.name_any()),
        RepairTask::AcceptWindow(object) => ("write the status of the window", object.name_any()),
    };
    let write = async {
        match &task {
            RepairTask::RemoveFinalizer(object) => remove_legacy_finalizer(client, object).await,
            RepairTask::LabelSlot(object) => label_slot(client, object).await,
            RepairTask::AcceptType(object) => accept_type(client, object).await,
            RepairTask::AcceptWindow(object) => accept_window(client, object).await,
        }
    };
    let error = match timeout(PROMPT_TIMEOUT, write).await {
        Ok(Ok(())) => {
            tracing::debug!(object, action, "metadata repaired");
            return None;
        }
        // It changed or is gone: the watch brings it again if there is still something to do.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409 | 422) => return None,
        Ok(Err(error)) => format!("the hub {}", cause(&error)),
        Err(_) => format!("the hub did not answer within {} s", PROMPT_TIMEOUT.as_secs()),
    };
    tracing::warn!(object, error, "can't {action}; trying again");
    Some((uid, task))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::client::Body;
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::*;
    use crate::domain::claim::Claim;
    use crate::domain::replica::Term;
    use crate::hub::Clock;

    fn task(name: &str) -> RepairTask {
        let mut target = IntegrationTarget::new(name, Default::default());
        target.metadata.namespace = Some("fleet".to_owned());
        target.metadata.uid = Some(name.to_owned());
        RepairTask::LabelSlot(Box::new(target))
    }

    /// How long a label takes behind so many others that the hub fails, or leaves without an answer.
    async fn label_behind(others: usize, hangs: bool) -> Duration {
        let (labelled, mut is_labelled) = watch::channel(false);
        let hub = tower::service_fn(move |request: Request<Body>| {
            let labelled = labelled.clone();
            async move {
                let is_failing = request.uri().path().contains("failing");
                if is_failing && hangs {
                    std::future::pending::<()>().await;
                }
                if !is_failing {
                    labelled.send_replace(true);
                }
                let status = if is_failing { 500 } else { 200 };
                Ok::<_, Infallible>(Response::builder().status(status).body(Body::from(b"{}".to_vec())).unwrap())
            }
        });
        let clock = Clock::start();
        let claim = Claim::new(Term(1), clock.now(), Duration::from_secs(3_600), Duration::ZERO);
        let (_claims, leading) = watch::channel(Some(claim));
        let (repairs, fence) = (RepairQueue::default(), WriteFence::new(leading, clock));
        (0..others).for_each(|number| repairs.offer(task(&format!("failing-{number}"))));
        repairs.offer(task("new"));
        let begun = Instant::now();
        tokio::select! {
            () = run_repairs(Client::new(hub, "fleet"), &repairs, &fence) => unreachable!("it goes on for ever"),
            labelled = is_labelled.wait_for(|labelled| *labelled) => drop(labelled.unwrap()),
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn failing_labels_keep_no_new_target_waiting() {
        let took = label_behind(300, false).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_label_is_given_up() {
        let took = label_behind(AT_A_TIME, true).await;
        assert_eq!(took, PROMPT_TIMEOUT);
    }
}
