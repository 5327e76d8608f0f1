//! The history that the page keeps and shows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::params::{Access, Params};
use crate::history::{Availability, ChangeRow, Grouping, HistoryError, Reader, Recorder, Selection};

/// Days of the columns of availability.
pub(super) const DAYS: [i64; 4] = [1, 7, 30, 90];

/// Changes on a page.
const MAX_CHANGES: usize = 200;

/// Availability over weeks hardly changes in this time.
const KEPT: Duration = Duration::from_secs(30);

/// Answers that are kept.
const MAX_KEPT: usize = 64;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// The history of one file, read by all requests.
pub(super) struct History {
    reader: Mutex<Reader>,
    recorder: Arc<Recorder>,
    kept: Mutex<Vec<(Question, Instant, Arc<Shown>)>>,
}

/// The part of the history that somebody may see and asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    access: Access,
    params: Params,
}

/// The history as a page shows it.
pub(super) struct Shown {
    /// By name, with one entry for each of [`DAYS`].
    pub(super) availability: Vec<(String, Vec<Option<Availability>>)>,
    /// Newest first.
    pub(super) changes: Vec<ChangeRow>,
    /// Why nothing is recorded at the moment.
    pub(super) fault: Option<String>,
}

impl History {
    /// Reads the file that `recorder` writes.
    ///
    /// # Errors
    /// Fails if the file can't be read.
    pub(super) fn open(path: &Path, recorder: Arc<Recorder>) -> Result<Self, HistoryError> {
        Ok(Self { reader: Mutex::new(Reader::open(path)?), recorder, kept: Mutex::default() })
    }

    /// The history that the parameters select. Blocks while SQLite reads.
    ///
    /// # Errors
    /// Fails if the file can't be read.
    pub(super) fn show(&self, access: &Access, params: &Params, now: Timestamp) -> Result<Arc<Shown>, HistoryError> {
        let question = Question { access: access.clone(), params: params.clone() };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, at, _)| at.elapsed() < KEPT);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        if let Some((.., shown)) = kept.iter().find(|(known, ..)| *known == question) {
            return Ok(shown.clone());
        }
        let shown = Arc::new(self.read(access, params, now.as_millisecond())?);
        kept.push((question, Instant::now(), shown.clone()));
        Ok(shown)
    }

    fn read(&self, access: &Access, params: &Params, now: i64) -> Result<Shown, HistoryError> {
        let fault = self.recorder.fault();
        let Some(selection) = selection(access, params) else {
            return Ok(Shown { availability: Vec::new(), changes: Vec::new(), fault });
        };
        let by = if params.by == "cluster" { Grouping::Cluster } else { Grouping::Tool };
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut availability: Vec<(String, Vec<Option<Availability>>)> = Vec::new();
        for (place, days) in DAYS.iter().enumerate() {
            for found in reader.availability(&selection, by, (now - days * DAY, now))? {
                let row = match availability.iter().position(|(name, _)| *name == found.name) {
                    Some(row) => row,
                    None => {
                        availability.push((found.name.clone(), vec![None; DAYS.len()]));
                        availability.len() - 1
                    }
                };
                availability[row].1[place] = Some(found);
            }
        }
        let worst = |row: &(String, Vec<Option<Availability>>)| {
            let shares = row.1.iter().flatten().filter_map(|found| found.availability);
            shares.fold(f64::INFINITY, f64::min)
        };
        availability.sort_by(|a, b| worst(a).total_cmp(&worst(b)).then_with(|| a.0.cmp(&b.0)));
        let changes = reader.changes(&selection, now - DAYS[DAYS.len() - 1] * DAY, MAX_CHANGES)?;
        Ok(Shown { availability, changes, fault })
    }
}

/// The part of the file that the user may see and asks for; `None` if that is nothing.
fn selection(access: &Access, params: &Params) -> Option<Selection> {
    let one = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let namespaces = match (access, one(&params.ns)) {
        (access, Some(namespace)) => access.allows(&namespace).then(|| vec![namespace])?,
        (Access::All, None) => Vec::new(),
        (Access::Only(namespaces), None) if namespaces.is_empty() => return None,
        (Access::Only(namespaces), None) => namespaces.iter().cloned().collect(),
    };
    Some(Selection { namespaces, cluster: one(&params.q), type_: one(&params.type_) })
}

/// The file and the limits of a history.
pub struct HistoryFile {
    /// Created if it does not exist.
    pub path: PathBuf,
    /// How much is kept.
    pub limits: crate::history::Limits,
}
