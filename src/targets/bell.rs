//! Tells a task whether it was woken for one of its watches or for something else. A target has a dozen watches on one
//! connection: where each of them is polled for each answer that comes over it, two polls of three find nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures::task::AtomicWaker;

/// Rung by what is polled with its waker.
#[derive(Default)]
pub(super) struct Bell(Arc<Rope>);

#[derive(Default)]
struct Rope {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Bell {
    /// Whether it has rung since this was asked last. The task is woken when it rings next.
    pub(super) fn has_rung(&self, context: &Context<'_>) -> bool {
        self.0.task.register(context.waker());
        self.0.rung.swap(false, Ordering::AcqRel)
    }

    /// For what was not polled with the waker yet.
    pub(super) fn ring(&self) {
        self.0.wake_by_ref();
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::from(self.0.clone())
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker_ref;

    use super::*;

    #[test]
    fn it_rings_for_what_has_its_waker_and_for_nothing_else() {
        let (bell, task) = (Bell::default(), Bell::default());
        let (waker, nobody) = (task.waker(), Context::from_waker(noop_waker_ref()));
        let context = Context::from_waker(&waker);
        assert!(!bell.has_rung(&context), "nothing has come");
        waker.wake_by_ref();
        assert!(task.has_rung(&nobody) && !bell.has_rung(&context), "woken for something else");
        for ring in [|bell: &Bell| bell.waker().wake(), |bell: &Bell| bell.ring()] {
            ring(&bell);
            assert!(task.has_rung(&nobody), "the task is woken");
            assert!(bell.has_rung(&context) && !bell.has_rung(&context), "told once");
        }
    }
}
