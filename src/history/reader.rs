//! Reads the history, also while it is being written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Row, params};
use serde::Serialize;

use super::HistoryError;
use super::recorder::sqlite;
use super::windows;
use crate::domain::availability::{Spans, Standing, spans};

/// Reads one file.
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

/// A part of the history.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Namespaces; empty: all.
    pub namespaces: Vec<String>,
    /// Name of an IntegrationTarget.
    pub cluster: Option<String>,
    /// Type of a tool.
    pub type_: Option<String>,
}

/// A change of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRow {
    /// Unix milliseconds.
    pub at: i64,
    /// Namespace of the IntegrationTarget.
    pub namespace: String,
    /// Name of the IntegrationTarget.
    pub cluster: String,
    /// Name of the Integration; empty for the cluster itself.
    pub integration: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_: String,
    /// The phase since; empty if it was removed.
    pub phase: String,
    /// The reason of the phase.
    pub reason: String,
}

/// The parts that availability is added up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Each type of tool, on all clusters.
    Tool,
    /// Each cluster, with all its tools.
    Cluster,
}

/// The availability of one part.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Availability {
    /// Type of the tool, or `NAMESPACE/NAME` of the cluster.
    pub name: String,
    /// From 0 to 1; absent if it was never known.
    pub availability: Option<f64>,
    /// Seconds in which it worked; those of several clusters or tools are added up, as in the others.
    pub up_seconds: i64,
    /// Seconds in which it was broken.
    pub down_seconds: i64,
    /// Seconds of which nothing is known.
    pub unknown_seconds: i64,
    /// Seconds in maintenance windows.
    pub maintenance_seconds: i64,
}

impl Reader {
    /// Opens a file that exists.
    ///
    /// # Errors
    /// Fails if there is none, or if it is no history.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|source| sqlite(path, source))?;
        let reader = Self { path: path.to_owned(), connection };
        reader.sqlite(reader.connection.query_row("SELECT until FROM recorded", (), |_| Ok(())))?;
        Ok(reader)
    }

    fn sqlite<T>(&self, result: rusqlite::Result<T>) -> Result<T, HistoryError> {
        result.map_err(|source| sqlite(&self.path, source))
    }

    /// The changes since `since`, newest first, at most `limit`.
    ///
    /// # Errors
    /// Fails if the file can't be read.
    pub fn changes(&self, selection: &Selection, since: i64, limit: usize) -> Result<Vec<ChangeRow>, HistoryError> {
        self.sqlite(self.query_changes(selection, since, limit))
    }

    fn query_changes(&self, selection: &Selection, since: i64, limit: usize) -> rusqlite::Result<Vec<ChangeRow>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT c.at, s.namespace, s.cluster, s.integration, s.type, c.phase, c.reason
             FROM changes c JOIN series s ON s.id = c.series
             WHERE c.at >= ?1 AND (?2 IS NULL OR s.cluster = ?2) AND (?3 IS NULL OR s.type = ?3)
             ORDER BY c.at DESC",
        )?;
        let rows = statement.query_map(params![since, selection.cluster, selection.type_], |row| {
            let (at, namespace, cluster, integration) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let (type_, phase, reason) = (row.get(4)?, row.get(5)?, row.get(6)?);
            Ok(ChangeRow { at, namespace, cluster, integration, type_, phase, reason })
        })?;
        let is_visible = |row: &ChangeRow| selection.sees(&row.namespace);
        rows.filter(|row| row.as_ref().map_or(true, is_visible)).take(limit).collect()
    }

    /// Availability from `period.0` to `period.1`, in Unix milliseconds. The phase of the cluster itself is that of its
    /// worst tool, so only tools count.
    ///
    /// # Errors
    /// Fails if the file can't be read.
    pub fn availability(
        &self,
        selection: &Selection,
        by: Grouping,
        period: (i64, i64),
    ) -> Result<Vec<Availability>, HistoryError> {
        self.sqlite(self.query_availability(selection, by, period))
    }

    fn query_availability(
        &self,
        selection: &Selection,
        by: Grouping,
        period: (i64, i64),
    ) -> rusqlite::Result<Vec<Availability>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT s.id, s.namespace, s.cluster, s.type, c.at, c.phase FROM series s JOIN changes c ON c.series = s.id
             WHERE s.integration <> '' AND (?1 IS NULL OR s.cluster = ?1) AND (?2 IS NULL OR s.type = ?2)
               AND c.at < ?4
               AND c.at >= coalesce((SELECT max(at) FROM changes WHERE series = s.id AND at <= ?3), ?3)
             ORDER BY s.id, c.at",
        )?;
        let mut rows = statement.query(params![selection.cluster, selection.type_, period.0, period.1])?;
        let mut found: BTreeMap<String, Spans> = BTreeMap::new();
        let mut current: Option<Series> = None;
        let windows = windows::ending_after(&self.connection, period.0)?;
        let mut finish = |done: Option<Series>| {
            if let Some((series, name, changes)) = done {
                let maintenance = windows.get(&series).map(Vec::as_slice).unwrap_or_default();
                *found.entry(name).or_default() += spans(&changes, maintenance, period);
            }
        };
        while let Some(row) = rows.next()? {
            let namespace: String = row.get(1)?;
            if !selection.sees(&namespace) {
                continue;
            }
            let (series, change) = (row.get(0)?, (row.get(4)?, Standing::of(&row.get::<_, String>(5)?)));
            match &mut current {
                Some((known, _, changes)) if *known == series => changes.push(change),
                _ => finish(current.replace((series, name(by, row, &namespace)?, vec![change]))),
            }
        }
        finish(current);
        Ok(found.into_iter().map(|(name, spans)| Availability::new(name, &spans)).collect())
    }
}

/// Number, name of the part that it counts for, and changes.
type Series = (i64, String, Vec<(i64, Standing)>);

fn name(by: Grouping, row: &Row, namespace: &str) -> rusqlite::Result<String> {
    match by {
        Grouping::Tool => row.get(3),
        Grouping::Cluster => Ok(format!("{namespace}/{}", row.get::<_, String>(2)?)),
    }
}

impl Selection {
    fn sees(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|name| name == namespace)
    }
}

impl Availability {
    fn new(name: String, spans: &Spans) -> Self {
        Self {
            name,
            availability: spans.availability(),
            up_seconds: spans.up / 1_000,
            down_seconds: spans.down / 1_000,
            unknown_seconds: spans.unknown / 1_000,
            maintenance_seconds: spans.maintenance / 1_000,
        }
    }
}
