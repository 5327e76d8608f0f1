//! Maintenance windows of a tool, from begin to end.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params};

/// Windows of one series are apart: an open one is prolonged or cut short.
pub(super) const TABLE: &str = "
    CREATE TABLE windows (series INTEGER NOT NULL, begin INTEGER NOT NULL, until INTEGER NOT NULL,
        PRIMARY KEY (series, begin)) WITHOUT ROWID;";

/// Records that a window is open until `until`, or that none is. All times in Unix milliseconds.
pub(super) fn record(transaction: &Transaction, series: i64, until: Option<i64>, now: i64) -> rusqlite::Result<()> {
    let end = until.filter(|until| *until > now);
    let mut update = transaction.prepare_cached("UPDATE windows SET until = ?3 WHERE series = ?1 AND until > ?2")?;
    let is_open = update.execute(params![series, now, end.unwrap_or(now)])? > 0;
    match end {
        Some(end) if !is_open => transaction
            .prepare_cached("INSERT OR REPLACE INTO windows (series, begin, until) VALUES (?1, ?2, ?3)")?
            .execute(params![series, now, end])
            .map(drop),
        _ => Ok(()),
    }
}

/// Deletes windows that ended before `limit`.
pub(super) fn prune(connection: &Connection, limit: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM windows WHERE until < ?1", [limit]).map(drop)
}

/// Begin and end of the windows of each series that end after `since`, in order.
pub(super) fn ending_after(connection: &Connection, since: i64) -> rusqlite::Result<BTreeMap<i64, Vec<(i64, i64)>>> {
    let mut found: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    let mut statement = connection
        .prepare_cached("SELECT series, begin, until FROM windows WHERE until > ?1 ORDER BY series, begin")?;
    let mut rows = statement.query([since])?;
    while let Some(row) = rows.next()? {
        found.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
    }
    Ok(found)
}
