//! Resolves names with the system's resolver, which respects `/etc/hosts`, search domains and the rest of the Pod's
//! setup.
//!
//! It blocks a thread, and a server that never answers holds it for half a minute even if the caller has timed out. So
//! lookups are limited well below the runtime's blocking threads, and a permit is released only when the call returns.
//! Failing targets share a part of the permits, which leaves the rest to the others if their names hang.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::standing::Standing;

/// Concurrent lookups in the process.
const LOOKUPS: usize = 64;

/// Concurrent lookups for failing targets.
const FAILING: usize = 20;

type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Shared by all targets of the process.
pub(super) struct Resolver {
    lookup: Arc<Lookup>,
    all: Arc<Semaphore>,
    failing: Arc<Semaphore>,
}

/// Why there are no addresses.
#[derive(Debug)]
pub(super) enum LookupError {
    /// It did not start in time: other lookups held all permits.
    NotStarted,
    /// The name has no addresses, or the resolver failed.
    Failed(io::Error),
    TimedOut,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }
}

impl Resolver {
    /// A resolver with a function that may block.
    pub(super) fn new(lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        let [all, failing] = [LOOKUPS, FAILING].map(|permits| Arc::new(Semaphore::new(permits)));
        Self { lookup: Arc::new(lookup), all, failing }
    }

    /// The addresses of `host`.
    pub(super) async fn resolve(
        &self,
        host: &str,
        port: u16,
        standing: Standing,
        latest: Instant,
    ) -> Result<Vec<SocketAddr>, LookupError> {
        let permits = timeout_at(latest, self.permits(standing)).await.map_err(|_| LookupError::NotStarted)?;
        let (lookup, host) = (self.lookup.clone(), host.to_owned());
        let call = spawn_blocking(move || {
            let _held_until_return = permits;
            lookup(&host, port)
        });
        match timeout_at(latest, call).await {
            Ok(Ok(found)) => found.map_err(LookupError::Failed),
            Ok(Err(panicked)) => Err(LookupError::Failed(io::Error::other(panicked))),
            Err(_) => Err(LookupError::TimedOut),
        }
    }

    /// Neither semaphore is ever closed, so both permits are always granted.
    async fn permits(&self, standing: Standing) -> [Option<OwnedSemaphorePermit>; 2] {
        let failing = if standing.is_failing() { self.failing.clone().acquire_owned().await.ok() } else { None };
        [failing, self.all.clone().acquire_owned().await.ok()]
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("free", &self.all.available_permits()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    use futures::future::join_all;

    use super::*;

    /// A server that answers names beginning with `hung` only after [`Self::answer`].
    #[derive(Default)]
    struct Server {
        answers: Mutex<bool>,
        woken: Condvar,
        calls: AtomicUsize,
    }

    impl Server {
        fn resolver(self: &Arc<Self>) -> Resolver {
            let server = self.clone();
            Resolver::new(move |host, port| {
                if host.starts_with("hung") {
                    server.calls.fetch_add(1, Ordering::SeqCst);
                    let answers = server.answers.lock().unwrap_or_else(PoisonError::into_inner);
                    drop(server.woken.wait_while(answers, |answers| !*answers));
                }
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
            })
        }

        /// Releases the hung lookups, so that the runtime can shut down.
        fn answer(&self) {
            *self.answers.lock().unwrap() = true;
            self.woken.notify_all();
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(300)
    }

    #[tokio::test]
    async fn a16_hung_lookups_hold_few_threads_and_blame_no_target() {
        let server = Arc::<Server>::default();
        let resolver = server.resolver();
        let hung = |standing| {
            let resolver = &resolver;
            join_all((0..200).map(move |number| async move {
                resolver.resolve(&format!("hung{number}"), 1, standing, soon()).await.unwrap_err()
            }))
        };
        let errors = hung(Standing::Healthy).await;
        let started = errors.iter().filter(|error| matches!(error, LookupError::TimedOut)).count();
        let waited = errors.iter().filter(|error| matches!(error, LookupError::NotStarted)).count();
        assert_eq!((started, waited), (LOOKUPS, 200 - LOOKUPS));
        // The callers have given up, but the calls are running: their permits are not free.
        assert!(matches!(resolver.resolve("good", 1, Standing::Healthy, soon()).await, Err(LookupError::NotStarted)));
        assert_eq!(server.calls.load(Ordering::SeqCst), LOOKUPS);
        // File reads still get threads.
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = tokio::time::timeout(Duration::from_secs(10), tokio::fs::read(file.path())).await;
        assert!(read.is_ok());
        server.answer();
    }

    #[tokio::test]
    async fn a16_failing_names_leave_lookups_to_the_others() {
        let server = Arc::<Server>::default();
        let resolver = server.resolver();
        let hung = (0..200).map(|number| {
            let resolver = &resolver;
            async move { resolver.resolve(&format!("hung{number}"), 1, Standing::Failing, soon()).await.is_err() }
        });
        assert!(join_all(hung).await.into_iter().all(|failed| failed));
        assert_eq!(server.calls.load(Ordering::SeqCst), FAILING);
        let latest = Instant::now() + Duration::from_secs(10);
        let good = resolver.resolve("good", 6443, Standing::Healthy, latest).await.unwrap();
        assert_eq!(good, [SocketAddr::from(([127, 0, 0, 1], 6443))]);
        server.answer();
    }
}
