//! Limits the time, memory and concurrency that targets may use.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::body::CHUNK;
use super::pool::Pools;
use super::resolve::Resolver;
use super::standing::Standing;

/// Allocation step of the budget for watch lines: each of thousands of watches may have a small one pending.
const LINE_CHUNK: usize = 16 * 1024;

/// Budget of the process for incomplete lines beyond one chunk: two of the largest objects that etcd stores. An API
/// server sends a line at once, so only a line without end holds its share.
const LINES_BYTES: usize = 4 * 1024 * 1024;

/// Retained bytes that every target may have without a permit, however full the process is.
const RETAINED_FREE: usize = 256 * 1024;

/// Allocation step of the budget for retained bytes beyond that.
const RETAINED_CHUNK: usize = 64 * 1024;

/// Limits that the operator configures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// One round of one target, not counting the wait for permits.
    pub round_timeout: Duration,
    /// DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Requests in flight to one target. The buffers of h2 grow with the responses that arrive at once, and never
    /// shrink.
    pub requests: usize,
    /// Connects and handshakes in flight in the process.
    pub connects: usize,
    /// Rounds in flight in the process that have a connection and do more than confirm cached state.
    pub rounds: usize,
    /// Upper bound of one response body, in bytes.
    pub body_bytes: usize,
    /// Upper bound of all response bodies in memory, in bytes, small ones excluded.
    pub bodies_bytes: usize,
    /// Upper bound of the bytes retained for all targets, beyond the free share of each.
    pub retained_bytes: usize,
    /// A watch without data for this long is broken if requests are answered: API servers send a bookmark a minute.
    pub watch_silence: Duration,
    /// Delay before watching is retried on a target that can't be watched.
    pub watch_again: Duration,
    /// Open connections in the process: the hub, reports and probes need file descriptors too.
    pub connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            round_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            requests: 2,
            connects: 128,
            rounds: 256,
            body_bytes: 4 * 1024 * 1024,
            bodies_bytes: 8 * 1024 * 1024,
            retained_bytes: 1024 * 1024 * 1024,
            watch_silence: Duration::from_secs(240),
            watch_again: Duration::from_secs(300),
            connections: Semaphore::MAX_PERMITS,
        }
    }
}

/// The settings, and the permits that all targets of the process share.
#[derive(Debug)]
pub struct Limits {
    settings: Settings,
    connects: Limiter,
    rounds: Limiter,
    /// Chunks of response bodies.
    bodies: Arc<Semaphore>,
    /// Chunks of incomplete watch lines.
    lines: Arc<Semaphore>,
    /// Chunks of retained objects.
    retained: Arc<Semaphore>,
    /// Lets one response exceed the budget: responses that hold chunks and wait for more would deadlock.
    last_resort: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    pools: Pools,
    resolver: Resolver,
}

/// Concurrency limiter with a sub-limit of 30 % for failing targets, so that hanging ones can't starve the healthy.
/// Their permits expire after 1 s, so that they don't starve each other either: a hanging target holds a socket, no
/// permit.
#[derive(Debug)]
struct Limiter {
    all: Semaphore,
    failing: Semaphore,
}

/// Permission to run one operation. The default holds no permit, for operations that need none.
#[derive(Default)]
pub(super) struct Permit<'a> {
    failing: Option<SemaphorePermit<'a>>,
    _any: Option<SemaphorePermit<'a>>,
}

impl Permit<'_> {
    /// Runs `work`. The permit of a failing target may expire before it ends.
    pub(super) async fn run<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if self.failing.is_some() {
            if let Ok(done) = timeout(Limiter::FAILING_PERMIT, &mut work).await {
                return done;
            }
            drop(self);
        }
        work.await
    }
}

impl Limiter {
    const FAILING_PERCENT: usize = 30;
    const FAILING_PERMIT: Duration = Duration::from_secs(1);

    fn new(permits: usize) -> Self {
        let all = permits.clamp(1, Semaphore::MAX_PERMITS);
        let failing = (all.saturating_mul(Self::FAILING_PERCENT) / 100).max(1);
        Self { all: Semaphore::new(all), failing: Semaphore::new(failing) }
    }

    /// Waits for a permit, and postpones `deadline` by the wait.
    async fn acquire(&self, standing: Standing, deadline: &mut Instant) -> Permit<'_> {
        let requested = Instant::now();
        // Neither semaphore is ever closed, so `acquire` can't fail.
        let failing = if standing.is_failing() { self.failing.acquire().await.ok() } else { None };
        let permit = Permit { failing, _any: self.all.acquire().await.ok() };
        *deadline += requested.elapsed();
        permit
    }
}

impl Limits {
    /// Creates all permits; to be called once per process.
    pub fn new(settings: Settings) -> Self {
        let bodies = settings.bodies_bytes.saturating_sub(settings.body_bytes) / CHUNK;
        Self {
            connects: Limiter::new(settings.connects),
            rounds: Limiter::new(settings.rounds),
            bodies: Arc::new(Semaphore::new(bodies)),
            lines: Arc::new(Semaphore::new(LINES_BYTES / LINE_CHUNK)),
            retained: Arc::new(Semaphore::new(settings.retained_bytes / RETAINED_CHUNK)),
            last_resort: Arc::new(Semaphore::new(1)),
            connections: Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS))),
            pools: Pools::default(),
            resolver: Resolver::default(),
            settings,
        }
    }

    /// The settings, which never change.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Interned objects, shared between targets.
    pub(super) fn pools(&self) -> &Pools {
        &self.pools
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Permit for one connection, held as long as its socket is open. `None` at the limit.
    pub(super) fn connection(&self) -> Option<OwnedSemaphorePermit> {
        self.connections.clone().try_acquire_owned().ok()
    }

    /// Permit to connect. The queue bounds the wait, as no permit is held for longer than `connect_timeout`.
    pub(super) async fn connect(&self, standing: Standing, deadline: &mut Instant) -> Permit<'_> {
        self.connects.acquire(standing, deadline).await
    }

    /// Permit to query a connected target. As above, no permit is held for longer than `round_timeout`.
    pub(super) async fn round(&self, standing: Standing, deadline: &mut Instant) -> Permit<'_> {
        self.rounds.acquire(standing, deadline).await
    }
}

/// Chunks of the response budget that one response holds until dropped. A response that fits into one chunk needs none:
/// small responses never wait for large ones.
#[derive(Debug, Default)]
pub(super) struct MemoryPermit {
    chunks: Option<OwnedSemaphorePermit>,
    last_resort: Option<OwnedSemaphorePermit>,
}

impl MemoryPermit {
    /// Waits for room for a response of `bytes`.
    pub(super) async fn grow(&mut self, limits: &Limits, bytes: usize) {
        let more = self.missing(bytes);
        if more == 0 {
            return;
        }
        // Neither semaphore is ever closed, so one branch completes.
        tokio::select! {
            biased;
            Ok(more) = limits.bodies.clone().acquire_many_owned(more) => add(&mut self.chunks, more),
            Ok(all) = limits.last_resort.clone().acquire_owned() => self.last_resort = Some(all),
            else => {}
        }
    }

    /// Returns false if there is no room now.
    pub(super) fn try_grow(&mut self, limits: &Limits, bytes: usize) -> bool {
        let more = self.missing(bytes);
        try_add(&mut self.chunks, &limits.bodies, more)
    }

    /// Releases everything, then waits for room for twice as much, or for the largest response.
    pub(super) async fn start_over(&mut self, limits: &Limits) {
        let bytes = limits.settings().body_bytes.min(2 * (held(&self.chunks) + 1) * CHUNK);
        *self = Self::default();
        self.grow(limits, bytes).await;
    }

    fn missing(&self, bytes: usize) -> u32 {
        if self.last_resort.is_some() {
            return 0;
        }
        u32::try_from((bytes / CHUNK).saturating_sub(held(&self.chunks))).unwrap_or(u32::MAX)
    }
}

/// Chunks of the line budget that one line holds until dropped. A line that fits into one chunk needs none.
#[derive(Debug, Default)]
pub(super) struct LinePermit(Option<OwnedSemaphorePermit>);

impl LinePermit {
    /// Returns false if there is no room now for a line of `bytes`.
    pub(super) fn try_grow(&mut self, limits: &Limits, bytes: usize) -> bool {
        let missing = (bytes.saturating_sub(1) / LINE_CHUNK).saturating_sub(held(&self.0));
        try_add(&mut self.0, &limits.lines, u32::try_from(missing).unwrap_or(u32::MAX))
    }
}

/// Chunks of the retained budget that one target holds until dropped. An ordinary target needs none.
#[derive(Debug, Default)]
pub(super) struct RetainedPermit(Option<OwnedSemaphorePermit>);

impl RetainedPermit {
    /// Grows or shrinks to room for `bytes`. Returns false, and leaves the permit unchanged, if there is not enough.
    pub(super) fn try_hold(&mut self, limits: &Limits, bytes: usize) -> bool {
        let (wanted, held) = (bytes.saturating_sub(RETAINED_FREE).div_ceil(RETAINED_CHUNK), held(&self.0));
        match &mut self.0 {
            Some(chunks) if wanted < held => {
                drop(chunks.split(held - wanted));
                true
            }
            chunks => try_add(chunks, &limits.retained, u32::try_from(wanted - held).unwrap_or(u32::MAX)),
        }
    }
}

fn held(chunks: &Option<OwnedSemaphorePermit>) -> usize {
    chunks.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
}

fn try_add(held: &mut Option<OwnedSemaphorePermit>, free: &Arc<Semaphore>, more: u32) -> bool {
    if more == 0 {
        return true;
    }
    let Ok(more) = free.clone().try_acquire_many_owned(more) else { return false };
    add(held, more);
    true
}

fn add(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn failing_targets_get_a_share_of_the_permits() {
        let limiter = Limiter::new(10);
        let take = |standing| limiter.acquire(standing, &mut Instant::now()).now_or_never();
        let failing: Vec<_> = (0..3).map(|_| take(Standing::Failing).unwrap()).collect();
        assert!(take(Standing::Failing).is_none(), "30 % are taken");
        let healthy: Vec<_> = (0..7).map(|_| take(Standing::Healthy).unwrap()).collect();
        assert!(take(Standing::Healthy).is_none(), "all are taken");
        drop(failing);
        assert!(take(Standing::Failing).is_some());
        drop(healthy);
    }

    #[tokio::test(start_paused = true)]
    async fn permit_of_a_hanging_target_expires_while_it_goes_on() {
        let limiter = Limiter::new(2);
        let started = Instant::now();
        let hang = async |standing| {
            let permit = limiter.acquire(standing, &mut Instant::now()).await;
            permit.run(tokio::time::sleep(Duration::from_secs(5))).await;
            started.elapsed().as_secs()
        };
        let both = tokio::join!(hang(Standing::Failing), hang(Standing::Failing));
        assert_eq!(both, (5, 6), "each runs to its end, and the second starts one second later");
        let three = tokio::join!(hang(Standing::Healthy), hang(Standing::Healthy), hang(Standing::Healthy));
        assert_eq!(three, (11, 11, 16), "permits of healthy targets don't expire");
    }

    #[test]
    fn response_memory_is_shared_and_free_for_small_ones() {
        let settings = Settings { body_bytes: 4 * CHUNK, bodies_bytes: 9 * CHUNK, ..Settings::default() };
        let limits = Limits::new(settings);
        let [mut first, mut second, mut third] = [(); 3].map(|()| MemoryPermit::default());
        let grows = |permit: &mut MemoryPermit, chunks| permit.grow(&limits, chunks * CHUNK).now_or_never().is_some();
        assert!(grows(&mut first, 3) && grows(&mut second, 2), "there are five, and a last resort");
        assert!(grows(&mut second, 4), "one may go on");
        assert!(!grows(&mut first, 4) && !grows(&mut third, 1), "the others wait");
        assert!(third.grow(&limits, CHUNK - 1).now_or_never().is_some());
        drop(second);
        assert!(grows(&mut third, 4));
    }

    #[tokio::test]
    async fn response_without_room_waits_for_twice_as_much() {
        let settings = Settings { body_bytes: 8 * CHUNK, bodies_bytes: 16 * CHUNK, ..Settings::default() };
        let limits = Limits::new(settings);
        let [mut first, mut second, mut third] = [(); 3].map(|()| MemoryPermit::default());
        assert!(first.try_grow(&limits, 5 * CHUNK) && second.try_grow(&limits, 3 * CHUNK), "there are eight");
        assert!(!second.try_grow(&limits, 4 * CHUNK));
        first.grow(&limits, 6 * CHUNK).await;
        assert!(second.start_over(&limits).now_or_never().is_none(), "the last resort is taken");
        assert!(third.try_grow(&limits, 3 * CHUNK), "its chunks are free for others");
        drop((first, third));
        second = MemoryPermit::default();
        assert!(second.try_grow(&limits, 3 * CHUNK) && second.start_over(&limits).now_or_never().is_some());
        assert_eq!(held(&second.chunks), 8, "no response is larger");
    }

    #[test]
    fn retained_memory_is_shared_and_free_for_ordinary_targets() {
        let limits = Limits::new(Settings { retained_bytes: 10 * RETAINED_CHUNK, ..Settings::default() });
        let [mut first, mut second, mut third] = [(); 3].map(|()| RetainedPermit::default());
        let bytes = |chunks: usize| RETAINED_FREE + chunks * RETAINED_CHUNK;
        assert!(first.try_hold(&limits, bytes(7)) && second.try_hold(&limits, bytes(3)));
        assert!(!second.try_hold(&limits, bytes(3) + 1), "all of it is held");
        assert!(third.try_hold(&limits, RETAINED_FREE));
        assert!(first.try_hold(&limits, bytes(2)) && second.try_hold(&limits, bytes(8)), "shrinking frees chunks");
        drop(second);
        assert!(third.try_hold(&limits, bytes(8)));
    }

    #[test]
    fn line_memory_is_shared_and_free_for_short_lines() {
        let limits = Limits::default();
        let [mut first, mut second, mut third] = [(); 3].map(|()| LinePermit::default());
        assert!(first.try_grow(&limits, LINES_BYTES / 4) && first.try_grow(&limits, LINES_BYTES / 2));
        assert!(second.try_grow(&limits, LINES_BYTES / 2));
        assert!(third.try_grow(&limits, 2 * LINE_CHUNK) && !third.try_grow(&limits, 8 * LINE_CHUNK));
        drop(first);
        assert!(third.try_grow(&limits, 8 * LINE_CHUNK));
        let short = (0..LINES_BYTES / LINE_CHUNK + 1).map(|_| LinePermit::default());
        assert!(short.into_iter().all(|mut permit| permit.try_grow(&limits, LINE_CHUNK)));
    }
}
