//! Records whether a task was woken by one of its watches or by something else. A target has a dozen watches on one
//! connection: polling each of them for every response on it would find nothing in two of three polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures::task::AtomicWaker;

/// A flag set by futures that are polled with its waker.
#[derive(Default)]
pub(super) struct WakeFlag(Arc<Shared>);

#[derive(Default)]
struct Shared {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl WakeFlag {
    /// Takes the flag, and registers the task to be woken when it is set next.
    pub(super) fn was_woken(&self, context: &Context<'_>) -> bool {
        self.0.task.register(context.waker());
        self.0.woken.swap(false, Ordering::AcqRel)
    }

    /// Sets the flag for a future that was not yet polled with the waker.
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
    fn wake_flag_is_set_by_its_own_waker_only() {
        let (wake, task) = (WakeFlag::default(), WakeFlag::default());
        let (waker, nobody) = (task.waker(), Context::from_waker(noop_waker_ref()));
        let context = Context::from_waker(&waker);
        assert!(!wake.was_woken(&context), "not woken yet");
        waker.wake_by_ref();
        assert!(task.was_woken(&nobody) && !wake.was_woken(&context), "woken by something else");
        for set in [|wake: &WakeFlag| wake.waker().wake(), |wake: &WakeFlag| wake.wake()] {
            set(&wake);
            assert!(task.was_woken(&nobody), "the task is woken");
            assert!(wake.was_woken(&context) && !wake.was_woken(&context), "taken once");
        }
    }
}
