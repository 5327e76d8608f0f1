//! Bounds of what targets may take, of time, memory and turns.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::body::CHUNK;
use super::pool::Pools;
use super::resolve::Resolver;

/// By so much the memory for lines of watches is given out: thousands of watches may each have a small one begun.
const LINE_CHUNK: usize = 16 * 1024;

/// What lines that have begun may take together in the process, small ones aside: room for two of the largest objects
/// that etcd keeps. An API server sends them at once; only what never ends holds on to it.
const LINES: usize = 4 * 1024 * 1024;

/// So much is kept of any target, however little room there is in the process.
const RETAINED_FREE: usize = 256 * 1024;

/// By so much the room for what is kept beyond that is given out.
const RETAINED_CHUNK: usize = 64 * 1024;

/// What is set by the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// One round of one target, from when it has its turn to connect.
    pub round_timeout: Duration,
    /// DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Requests in flight to one target. What h2 takes for a connection grows with the answers that come at once, and
    /// never shrinks.
    pub requests: usize,
    /// Connects and handshakes in flight in the process.
    pub connects: usize,
    /// Rounds in flight in the process that have a connection and more to ask than whether all is still as it is known.
    pub rounds: usize,
    /// The most bytes of one answer that are read.
    pub body_bytes: usize,
    /// The most bytes of answers that the process holds at a time, small ones aside.
    pub bodies_bytes: usize,
    /// The most bytes that the process keeps of targets, beyond what it keeps of an ordinary one.
    pub retained_bytes: usize,
    /// A watch is broken that brings nothing for so long while requests are answered: API servers send a bookmark a minute.
    pub watch_silence: Duration,
    /// A target that can't be watched is tried again after this.
    pub watch_again: Duration,
    /// Connections that may be open in the process: file descriptors must be left for the hub, reports and probes.
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

/// The settings and the turns that all targets of the process share.
#[derive(Debug)]
pub struct Limits {
    settings: Settings,
    connects: Limiter,
    rounds: Limiter,
    /// Chunks of answers.
    bodies: Arc<Semaphore>,
    /// Chunks of lines.
    lines: Arc<Semaphore>,
    /// Chunks of what is kept.
    retained: Arc<Semaphore>,
    /// One answer that finds no room may grow all the same: of several that hold some and wait for more, one ends.
    last_resort: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    pools: Pools,
    resolver: Resolver,
}

/// Limiter at something. Targets that fail get a part of them, so that those that hang can't keep the healthy ones
/// waiting; and each of them only for so long, so that they don't keep each other waiting: what hangs takes a socket, and
/// no work.
#[derive(Debug)]
struct Limiter {
    all: Semaphore,
    failing: Semaphore,
}

/// Leave to do one thing; by default one that needs no turn.
#[derive(Default)]
pub(super) struct Permit<'a> {
    failing: Option<SemaphorePermit<'a>>,
    _one: Option<SemaphorePermit<'a>>,
}

impl Permit<'_> {
    /// Does it. The turn of a target that fails may end before.
    pub(super) async fn run<T>(self, it: impl Future<Output = T>) -> T {
        let mut it = pin!(it);
        if self.failing.is_some() {
            if let Ok(done) = timeout(Limiter::FAILING_PERMIT, &mut it).await {
                return done;
            }
            drop(self);
        }
        it.await
    }
}

impl Limiter {
    const FAILING_PERCENT: usize = 30;
    const FAILING_PERMIT: Duration = Duration::from_secs(1);

    fn new(number: usize) -> Self {
        let all = number.clamp(1, Semaphore::MAX_PERMITS);
        let failing = (all.saturating_mul(Self::FAILING_PERCENT) / 100).max(1);
        Self { all: Semaphore::new(all), failing: Semaphore::new(failing) }
    }

    /// Waits for a turn, which takes nothing of the time until `deadline`.
    async fn take(&self, failing: bool, deadline: &mut Instant) -> Permit<'_> {
        let asked = Instant::now();
        // Neither is ever closed, so a permit is always got.
        let failing = if failing { self.failing.acquire().await.ok() } else { None };
        let turn = Permit { failing, _one: self.all.acquire().await.ok() };
        *deadline += asked.elapsed();
        turn
    }
}

impl Limits {
    pub fn new(settings: Settings) -> Self {
        let bodies = settings.bodies_bytes.saturating_sub(settings.body_bytes) / CHUNK;
        Self {
            connects: Limiter::new(settings.connects),
            rounds: Limiter::new(settings.rounds),
            bodies: Arc::new(Semaphore::new(bodies)),
            lines: Arc::new(Semaphore::new(LINES / LINE_CHUNK)),
            retained: Arc::new(Semaphore::new(settings.retained_bytes / RETAINED_CHUNK)),
            last_resort: Arc::new(Semaphore::new(1)),
            connections: Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS))),
            pools: Pools::default(),
            resolver: Resolver::default(),
            settings,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Objects that several targets have alike, kept once.
    pub(super) fn pools(&self) -> &Pools {
        &self.pools
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// A place for one open connection, for as long as its socket is open. None if there is none left.
    pub(super) fn connection(&self) -> Option<OwnedSemaphorePermit> {
        self.connections.clone().try_acquire_owned().ok()
    }

    /// Leave to connect. The wait is bounded by the queue, as each turn is by `connect_timeout` or less.
    pub(super) async fn connect(&self, failing: bool, deadline: &mut Instant) -> Permit<'_> {
        self.connects.take(failing, deadline).await
    }

    /// Leave to ask a target that there is a connection to. As above, each turn is bounded by `round_timeout`.
    pub(super) async fn round(&self, failing: bool, deadline: &mut Instant) -> Permit<'_> {
        self.rounds.take(failing, deadline).await
    }
}

/// The part of the memory for answers that one answer takes, until dropped. What fits into one chunk needs none: small
/// answers never wait for large ones.
#[derive(Debug, Default)]
pub(super) struct MemoryPermit {
    chunks: Option<OwnedSemaphorePermit>,
    last_resort: Option<OwnedSemaphorePermit>,
}

impl MemoryPermit {
    /// Waits until there is room for an answer of so many bytes.
    pub(super) async fn grow(&mut self, limits: &Limits, bytes: usize) {
        let more = self.missing(bytes);
        if more == 0 {
            return;
        }
        // Neither is ever closed, so one is always got.
        tokio::select! {
            biased;
            Ok(more) = limits.bodies.clone().acquire_many_owned(more) => add(&mut self.chunks, more),
            Ok(all) = limits.last_resort.clone().acquire_owned() => self.last_resort = Some(all),
            else => {}
        }
    }

    /// False if there is no room now.
    pub(super) fn try_grow(&mut self, limits: &Limits, bytes: usize) -> bool {
        let more = self.missing(bytes);
        try_add(&mut self.chunks, &limits.bodies, more)
    }

    /// Holds nothing until there is room for twice as much as it held, or for the largest answer.
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

/// The part of the memory for lines that one of them takes, until dropped. What fits into one chunk needs none.
#[derive(Debug, Default)]
pub(super) struct LinePermit(Option<OwnedSemaphorePermit>);

impl LinePermit {
    /// False if there is no room now for a line of so many bytes.
    pub(super) fn try_grow(&mut self, limits: &Limits, bytes: usize) -> bool {
        let missing = (bytes.saturating_sub(1) / LINE_CHUNK).saturating_sub(held(&self.0));
        try_add(&mut self.0, &limits.lines, u32::try_from(missing).unwrap_or(u32::MAX))
    }
}

/// Room for what is kept of one target, until dropped. An ordinary one needs none.
#[derive(Debug, Default)]
pub(super) struct RetainedPermit(Option<OwnedSemaphorePermit>);

impl RetainedPermit {
    /// Holds room for so many bytes, no more and no less. False if there is not so much; then it holds what it held.
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
    fn failing_targets_leave_most_turns_to_the_others() {
        let turns = Limiter::new(10);
        let take = |failing| turns.take(failing, &mut Instant::now()).now_or_never();
        let failing: Vec<_> = (0..3).map(|_| take(true).unwrap()).collect();
        assert!(take(true).is_none(), "30 % are taken");
        let healthy: Vec<_> = (0..7).map(|_| take(false).unwrap()).collect();
        assert!(take(false).is_none(), "all are taken");
        drop(failing);
        assert!(take(true).is_some());
        drop(healthy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_target_that_hangs_gives_its_turn_back_and_goes_on() {
        let turns = Limiter::new(2);
        let begun = Instant::now();
        let hang = async |failing| {
            let turn = turns.take(failing, &mut Instant::now()).await;
            turn.run(tokio::time::sleep(Duration::from_secs(5))).await;
            begun.elapsed().as_secs()
        };
        let both = tokio::join!(hang(true), hang(true));
        assert_eq!(both, (5, 6), "each has its time, and the second waits one second");
        let three = tokio::join!(hang(false), hang(false), hang(false));
        assert_eq!(three, (11, 11, 16), "the others keep theirs");
    }

    #[test]
    fn large_answers_share_what_there_is_and_small_ones_need_none() {
        let settings = Settings { body_bytes: 4 * CHUNK, bodies_bytes: 9 * CHUNK, ..Settings::default() };
        let limits = Limits::new(settings);
        let [mut first, mut second, mut third] = [(); 3].map(|()| MemoryPermit::default());
        let grows = |share: &mut MemoryPermit, chunks| share.grow(&limits, chunks * CHUNK).now_or_never().is_some();
        assert!(grows(&mut first, 3) && grows(&mut second, 2), "there are five, and a last resort");
        assert!(grows(&mut second, 4), "one may go on");
        assert!(!grows(&mut first, 4) && !grows(&mut third, 1), "the others wait");
        assert!(third.grow(&limits, CHUNK - 1).now_or_never().is_some());
        drop(second);
        assert!(grows(&mut third, 4));
    }

    #[tokio::test]
    async fn what_finds_no_room_gives_back_all_and_waits_for_twice_as_much() {
        let settings = Settings { body_bytes: 8 * CHUNK, bodies_bytes: 16 * CHUNK, ..Settings::default() };
        let limits = Limits::new(settings);
        let [mut first, mut second, mut third] = [(); 3].map(|()| MemoryPermit::default());
        assert!(first.try_grow(&limits, 5 * CHUNK) && second.try_grow(&limits, 3 * CHUNK), "there are eight");
        assert!(!second.try_grow(&limits, 4 * CHUNK));
        first.grow(&limits, 6 * CHUNK).await;
        assert!(second.start_over(&limits).now_or_never().is_none(), "the last resort is taken");
        assert!(third.try_grow(&limits, 3 * CHUNK), "what it held is there for others");
        drop((first, third));
        second = MemoryPermit::default();
        assert!(second.try_grow(&limits, 3 * CHUNK) && second.start_over(&limits).now_or_never().is_some());
        assert_eq!(held(&second.chunks), 8, "no answer is larger");
    }

    #[test]
    fn ordinary_targets_need_no_room_and_large_ones_share_it() {
        let limits = Limits::new(Settings { retained_bytes: 10 * RETAINED_CHUNK, ..Settings::default() });
        let [mut first, mut second, mut third] = [(); 3].map(|()| RetainedPermit::default());
        let bytes = |chunks: usize| RETAINED_FREE + chunks * RETAINED_CHUNK;
        assert!(first.try_hold(&limits, bytes(7)) && second.try_hold(&limits, bytes(3)));
        assert!(!second.try_hold(&limits, bytes(3) + 1), "all of it is held");
        assert!(third.try_hold(&limits, RETAINED_FREE));
        assert!(first.try_hold(&limits, bytes(2)) && second.try_hold(&limits, bytes(8)), "what shrinks gives back");
        drop(second);
        assert!(third.try_hold(&limits, bytes(8)));
    }

    #[test]
    fn long_lines_share_what_there_is_and_short_ones_need_none() {
        let limits = Limits::default();
        let [mut first, mut second, mut third] = [(); 3].map(|()| LinePermit::default());
        assert!(first.try_grow(&limits, LINES / 4) && first.try_grow(&limits, LINES / 2));
        assert!(second.try_grow(&limits, LINES / 2));
        assert!(third.try_grow(&limits, 2 * LINE_CHUNK) && !third.try_grow(&limits, 8 * LINE_CHUNK));
        drop(first);
        assert!(third.try_grow(&limits, 8 * LINE_CHUNK));
        let short = (0..LINES / LINE_CHUNK + 1).map(|_| LinePermit::default());
        assert!(short.into_iter().all(|mut share| share.try_grow(&limits, LINE_CHUNK)));
    }
}
