//! Tells a task whether it was woken for one of its watches or for something else. A target has a dozen watches on one
//! connection: where each of them is polled for each answer that comes over it, two polls of three find nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures::task::AtomicWaker;

/// Rung by what is polled with its waker.
#[derive(Default)]
pub(super) struct WakeFlag(Arc<Shared>);

#[derive(Default)]
struct Shared {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl WakeFlag {
    /// Whether it has woken since this was asked last. The task is woken when it rings next.
    pub(super) fn was_woken(&self, context: &Context<'_>) -> bool {
        self.0.task.register(context.waker());
        self.0.woken.swap(false, Ordering::AcqRel)
    }

    /// For what was not polled with the waker yet.
    pub(super) fn wake(&self) {
        self.0.wake_by_ref();
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::from(self.0.clone())
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker_ref;

    use super::*;

    #[test]
    fn it_rings_for_what_has_its_waker_and_for_nothing_else() {
        let (wake, task) = (WakeFlag::default(), WakeFlag::default());
        let (waker, nobody) = (task.waker(), Context::from_waker(noop_waker_ref()));
        let context = Context::from_waker(&waker);
        assert!(!wake.was_woken(&context), "nothing has come");
        waker.wake_by_ref();
        assert!(task.was_woken(&nobody) && !wake.was_woken(&context), "woken for something else");
        for ring in [|wake: &WakeFlag| wake.waker().wake(), |wake: &WakeFlag| wake.wake()] {
            ring(&wake);
            assert!(task.was_woken(&nobody), "the task is woken");
            assert!(wake.was_woken(&context) && !wake.was_woken(&context), "told once");
        }
    }
}
