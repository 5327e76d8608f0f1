//! Runs Lease renewals on a dedicated thread with its own runtime.
//!
//! On shared threads they would wait for the evaluation of ten thousand clusters, or for anything else that occupies a
//! CPU for seconds without an await.

use std::future::Future;
use std::thread::{Builder, JoinHandle};

use tokio::runtime;
use tokio::sync::oneshot;

use super::error::OperatorError;

/// Runs the future that `make` returns on a thread named `name`, and returns its error. Dropping this future joins the
/// thread. `make` is called on that thread, so that connections are served there.
pub(super) async fn on_own_thread<F>(
    name: &'static str,
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<(), OperatorError>
where
    F: Future<Output = OperatorError>,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let (ended, end) = oneshot::channel();
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(ended.send(OperatorError::Thread(error))),
        };
        runtime.block_on(async {
            tokio::select! {
                error = make() => drop(ended.send(error)),
                _ = stopped => {}
            }
        });
        // A DNS look-up may hang.
        runtime.shutdown_background();
    });
    let thread = thread.map_err(OperatorError::Thread)?;
    let _guard = Guard { stop: Some(stop), thread: Some(thread) };
    Err(end.await.unwrap_or(OperatorError::Crashed(name)))
}

struct Guard {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Guard {
    /// Blocks until the thread reaches its next await, which is never far.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::{sleep, timeout};

    use super::*;

    /// Counts up, ten times a second.
    async fn count(counted: Arc<AtomicU32>) -> OperatorError {
        loop {
            sleep(Duration::from_millis(100)).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn own_thread_runs_while_the_others_are_blocked() {
        let counted: Arc<AtomicU32> = Arc::default();
        let shared = counted.clone();
        let mut running = JoinSet::new();
        running.spawn(on_own_thread("counter", || count(shared)));
        sleep(Duration::from_millis(300)).await;
        let before = counted.load(Ordering::Relaxed);
        // Blocks the only thread of this runtime.
        std::thread::sleep(Duration::from_secs(2));
        assert!(counted.load(Ordering::Relaxed) > before + 5, "it kept running");
        running.shutdown().await;
        let after = counted.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(counted.load(Ordering::Relaxed), after, "it has ended");
    }

    #[tokio::test]
    async fn own_thread_that_ends_or_panics_ends_its_role() {
        let ended = on_own_thread("short", || async { OperatorError::Ended("it") });
        assert!(matches!(timeout(Duration::from_secs(10), ended).await, Ok(Err(OperatorError::Ended("it")))));
        let crashed = on_own_thread("crash", || async { panic!("on purpose") });
        assert!(matches!(timeout(Duration::from_secs(10), crashed).await, Ok(Err(OperatorError::Crashed("crash")))));
    }
}
