//! Keeps every change of a phase in a SQLite file, and adds up availability.
//!
//! ```text
//! IntegrationTarget ─observed─> Observation ─Recorder (a thread)─> FILE ─Reader─> changes, availability
//! ```
//!
//! A status carries its last 20 changes, so that those of a short absence are found later. What was missed is recorded
//! as Unknown.

mod observation;
mod reader;
mod recorder;
mod series;
mod windows;

use std::path::PathBuf;

pub use observation::Observation;
pub use reader::{Availability, ChangeRow, Grouping, Reader, Selection};
pub use recorder::{Limits, Recorder};

/// A reason that the history can't be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Another process writes to the file.
    #[error("{0} is in use by another process: each page needs a file of its own")]
    InUse(PathBuf),
    /// The file belongs to another program, or to a later version.
    #[error("{0} is not a history of this version of ksit")]
    Foreign(PathBuf),
    /// The file can't be opened or locked.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
}

#[cfg(test)]
mod tests;
