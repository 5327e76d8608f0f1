//! Writes the history, in a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::mpsc;

use super::HistoryError;
use super::observation::Observation;
use super::series::{Last, New, new_changes};
use super::windows;
use crate::domain::keys::ObjectKey;

/// Marks the file as a history of ksit: "ksit" in ASCII.
const APPLICATION: i32 = 0x6b73_6974;

/// Version of the tables.
const VERSION: i32 = 1;

const TABLES: &str = "
    CREATE TABLE series (id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, cluster TEXT NOT NULL,
        integration TEXT NOT NULL, type TEXT NOT NULL, UNIQUE (namespace, cluster, integration));
    CREATE TABLE changes (series INTEGER NOT NULL, at INTEGER NOT NULL, stamp INTEGER NOT NULL, phase TEXT NOT NULL,
        reason TEXT NOT NULL, PRIMARY KEY (series, at)) WITHOUT ROWID;
    CREATE TABLE recorded (one INTEGER PRIMARY KEY CHECK (one = 1), until INTEGER NOT NULL);
    INSERT INTO recorded VALUES (1, 0);";

/// Messages that wait for the thread.
const QUEUE: usize = 1_024;

/// Messages written in one transaction.
const BATCH: usize = 1_024;

/// Interval at which old changes are deleted.
const PRUNE: Duration = Duration::from_secs(600);

/// The share of the kept time that goes when the file is too large.
const STEP: i64 = 10;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Age of the oldest change.
    pub retention: Duration,
    /// Size of the file in bytes, at which the oldest changes go before their time.
    pub bytes: u64,
}

/// Writes to one file. Dropping it ends the thread once all messages are written.
pub struct Recorder {
    sender: Option<mpsc::Sender<(i64, Message)>>,
    fault: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Observed(Observation),
    Gone(ObjectKey),
    Listed(BTreeSet<ObjectKey>),
    Alive,
}

impl Recorder {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// Fails if another process writes to it, if it is no history, or if it can't be opened.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, HistoryError> {
        let lock = lock(path)?;
        let connection = connect(path)?;
        let writer = Writer::new(connection, limits).map_err(|source| sqlite(path, source))?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let fault = Arc::new(Mutex::new(None));
        let shown = fault.clone();
        let thread = std::thread::Builder::new().name("history".to_owned()).spawn(move || {
            writer.run(receiver, &shown);
            drop(lock);
        });
        let thread = thread.map_err(|source| HistoryError::File { path: path.to_owned(), source })?;
        Ok(Self { sender: Some(sender), fault, thread: Some(thread) })
    }

    /// Why nothing is recorded at the moment.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records what is new in a status. `now`: Unix milliseconds, as in all of these.
    pub async fn observed(&self, now: i64, observation: Observation) {
        self.send(now, Message::Observed(observation)).await;
    }

    /// Records that a cluster was removed.
    pub async fn gone(&self, now: i64, cluster: ObjectKey) {
        self.send(now, Message::Gone(cluster)).await;
    }

    /// Records that these are all clusters, and that nothing has been missed until now.
    pub async fn listed(&self, now: i64, clusters: BTreeSet<ObjectKey>) {
        self.send(now, Message::Listed(clusters)).await;
    }

    /// Records that the hub is being followed.
    pub async fn alive(&self, now: i64) {
        self.send(now, Message::Alive).await;
    }

    async fn send(&self, now: i64, message: Message) {
        if let Some(sender) = &self.sender
            && sender.send((now, message)).await.is_err()
        {
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some("its thread has ended".to_owned());
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by then.
            let _ = thread.join();
        }
    }
}

/// Locks a file beside the history, which the system unlocks when the process ends.
fn lock(path: &Path) -> Result<File, HistoryError> {
    let beside = PathBuf::from(format!("{}.lock", path.display()));
    let failed = |source| HistoryError::File { path: beside.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HistoryError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn connect(path: &Path) -> Result<Connection, HistoryError> {
    let failed = |source| sqlite(path, source);
    let connection = Connection::open(path).map_err(failed)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(failed);
    let tables: i32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(failed)?;
    let set = |name: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, name, value).map_err(failed);
    if tables == 0 {
        set("auto_vacuum", &"INCREMENTAL")?;
        set("application_id", &APPLICATION)?;
        set("user_version", &VERSION)?;
        connection.execute_batch(TABLES).map_err(failed)?;
        connection.execute_batch(windows::TABLE).map_err(failed)?;
    } else if number("application_id")? != APPLICATION || number("user_version")? != VERSION {
        return Err(HistoryError::Foreign(path.to_owned()));
    }
    // Readers and the writer don't wait for each other, and a killed process loses nothing that was committed.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(failed)?;
    set("synchronous", &"NORMAL")?;
    Ok(connection)
}

pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> HistoryError {
    match source {
        rusqlite::Error::SqliteFailure(error, _) if error.code == rusqlite::ErrorCode::NotADatabase => {
            HistoryError::Foreign(path.to_owned())
        }
        source => HistoryError::Sqlite { path: path.to_owned(), source },
    }
}

/// Series of one cluster, by Integration: number and last change.
type Cluster = BTreeMap<String, (i64, Option<Last>)>;

struct Writer {
    connection: Connection,
    limits: Limits,
    recorded: Recorded,
}

/// The state of the file.
#[derive(Default)]
struct Recorded {
    clusters: BTreeMap<ObjectKey, Cluster>,
    /// Unix milliseconds until which no change has been missed.
    until: i64,
    /// Whether all clusters have been seen since the start.
    is_current: bool,
}

impl Writer {
    fn new(connection: Connection, limits: Limits) -> rusqlite::Result<Self> {
        let mut writer = Self { connection, limits, recorded: Recorded::default() };
        writer.load()?;
        Ok(writer)
    }

    /// Reads the last change of each series.
    fn load(&mut self) -> rusqlite::Result<()> {
        let recorded = &mut self.recorded;
        recorded.clusters.clear();
        recorded.until = self.connection.query_row("SELECT until FROM recorded", (), |row| row.get(0))?;
        let mut statement = self.connection.prepare(
            "SELECT s.namespace, s.cluster, s.integration, s.id, c.at, c.stamp, c.phase FROM series s
             LEFT JOIN changes c ON c.series = s.id AND c.at = (SELECT max(at) FROM changes WHERE series = s.id)",
        )?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let key = ObjectKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?);
            let last = row.get::<_, Option<i64>>(4)?;
            let last = last.map(|at| Ok::<_, rusqlite::Error>(Last { at, stamp: row.get(5)?, phase: row.get(6)? }));
            recorded.clusters.entry(key).or_default().insert(row.get(2)?, (row.get(3)?, last.transpose()?));
        }
        Ok(())
    }

    fn run(mut self, mut messages: mpsc::Receiver<(i64, Message)>, fault: &Mutex<Option<String>>) {
        let mut pruned = None::<Instant>;
        while let Some(first) = messages.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = messages.try_recv()
            {
                batch.push(next);
            }
            let now = batch.last().map_or(0, |(now, _)| *now);
            let mut written = self.write(batch);
            if written.is_ok() && pruned.is_none_or(|at| at.elapsed() > PRUNE) {
                pruned = Some(Instant::now());
                written = self.prune(now);
            }
            if let Err(error) = &written {
                tracing::warn!(%error, "failed to write the history; the next statuses bring what is missing");
                // Memory may be ahead of the file.
                if let Err(error) = self.load() {
                    tracing::warn!(%error, "failed to read the history");
                }
            }
            *fault.lock().unwrap_or_else(PoisonError::into_inner) = written.err().map(|error| error.to_string());
        }
    }

    fn write(&mut self, batch: Vec<(i64, Message)>) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        for (now, message) in batch {
            self.recorded.apply(&transaction, message, now)?;
        }
        transaction.execute("UPDATE recorded SET until = ?1", [self.recorded.until])?;
        transaction.commit()
    }

    /// Deletes what is too old, and the oldest while the file is too large. The last change before the limit stays: it is
    /// the phase at that time.
    fn prune(&mut self, now: i64) -> rusqlite::Result<()> {
        let retention = i64::try_from(self.limits.retention.as_millis()).unwrap_or(i64::MAX);
        let mut limit = now.saturating_sub(retention);
        loop {
            self.connection.execute(
                "DELETE FROM changes WHERE at < (SELECT max(c.at) FROM changes c WHERE c.series = changes.series AND c.at <= ?1)",
                [limit],
            )?;
            windows::prune(&self.connection, limit)?;
            // Each step frees one page.
            let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
            let mut steps = vacuum.query(())?;
            while steps.next()?.is_some() {}
            let size = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let bytes = size("page_count")?.saturating_mul(size("page_size")?);
            let is_small = u64::try_from(bytes).unwrap_or_default() <= self.limits.bytes;
            if is_small || limit >= now {
                return Ok(());
            }
            let oldest =
                self.connection.query_row("SELECT min(at) FROM changes", (), |row| row.get::<_, Option<i64>>(0));
            let Some(oldest) = oldest.optional()?.flatten() else { return Ok(()) };
            limit = limit.max(oldest).saturating_add(((now - oldest) / STEP).max(1));
        }
    }
}

impl Recorded {
    fn apply(&mut self, transaction: &Transaction, message: Message, now: i64) -> rusqlite::Result<()> {
        match message {
            Message::Observed(observation) => self.observe(transaction, &observation, now)?,
            Message::Gone(key) => self.end(transaction, &key, now)?,
            Message::Listed(keys) => {
                let gone: Vec<ObjectKey> = self.clusters.keys().filter(|key| !keys.contains(key)).cloned().collect();
                let since = if self.is_current { now } else { self.until };
                for key in gone {
                    self.end(transaction, &key, since)?;
                }
                self.is_current = true;
            }
            Message::Alive => {}
        }
        if self.is_current {
            self.until = self.until.max(now);
        }
        Ok(())
    }

    fn observe(&mut self, transaction: &Transaction, observation: &Observation, now: i64) -> rusqlite::Result<()> {
        let key = ObjectKey::new(observation.namespace.as_str(), observation.cluster.as_str());
        let cluster = self.clusters.entry(key.clone()).or_default();
        for seen in &observation.series {
            let (series, last) = match cluster.get_mut(&seen.integration) {
                Some(known) => known,
                None => {
                    let number = create(transaction, &key, &seen.integration, &seen.type_)?;
                    cluster.entry(seen.integration.clone()).or_insert((number, None))
                }
            };
            for new in new_changes(last.as_ref(), seen, observation.is_full, self.until) {
                insert(transaction, *series, &new)?;
                *last = Some(Last { at: new.at, stamp: new.stamp, phase: new.phase });
            }
            windows::record(transaction, *series, seen.maintenance, now)?;
        }
        // Tools that are not checked any more.
        for (integration, (series, last)) in cluster.iter_mut() {
            if observation.series.iter().all(|seen| seen.integration != *integration) {
                end(transaction, *series, last, now)?;
            }
        }
        Ok(())
    }

    /// Ends all series of a cluster.
    fn end(&mut self, transaction: &Transaction, key: &ObjectKey, now: i64) -> rusqlite::Result<()> {
        for (series, last) in self.clusters.entry(key.clone()).or_default().values_mut() {
            end(transaction, *series, last, now)?;
        }
        Ok(())
    }
}

fn create(transaction: &Transaction, key: &ObjectKey, integration: &str, type_: &str) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached("INSERT INTO series (namespace, cluster, integration, type) VALUES (?1, ?2, ?3, ?4)")?
        .insert(params![key.namespace(), key.name(), integration, type_])
}

fn insert(transaction: &Transaction, series: i64, new: &New) -> rusqlite::Result<()> {
    let New { at, stamp, phase, reason } = new;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO changes (series, at, stamp, phase, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![series, at, stamp, phase, reason])
        .map(drop)
}

fn end(transaction: &Transaction, series: i64, last: &mut Option<Last>, now: i64) -> rusqlite::Result<()> {
    let Some(known) = last.as_ref().filter(|last| !last.phase.is_empty()) else { return Ok(()) };
    let at = now.max(known.at.saturating_add(1));
    insert(transaction, series, &New { at, stamp: at, phase: String::new(), reason: "Removed".to_owned() })?;
    *last = Some(Last { at, stamp: at, phase: String::new() });
    Ok(())
}
