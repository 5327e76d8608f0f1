//! No task is detached: those that drive a connection end with it.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

/// The tasks of one connection, ended with this value.
#[derive(Default)]
pub(super) struct OwnedTasks(Tasks);

/// Starts tasks into the set: what hyper is given instead of tokio's own executor, which would detach them.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl OwnedTasks {
    pub(super) fn executor(&self) -> Tasks {
        self.0.clone()
    }

    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.run(task);
    }
}

impl Drop for OwnedTasks {
    fn drop(&mut self) {
        // The tasks hold the set too, so that it would not end by itself.
        self.0.lock().abort_all();
    }
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.lock();
        // What has ended is let go, else the set would grow with every request.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.run(task);
    }
}
