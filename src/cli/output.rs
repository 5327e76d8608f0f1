//! Prints the output of commands. Unlike `print!`, a closed pipe (`| head`) neither panics nor fails.

use std::io::{self, ErrorKind, Write};

use super::CliError;
use crate::domain::escape::escape_lines;

/// Prints to stdout. Returns false once the pipe is closed.
pub(super) fn print(text: &str) -> Result<bool, CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("stdout: {error}").into()),
    }
}

/// Prints to stderr, ignoring errors.
pub(super) fn print_error(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(escape_lines(text).as_bytes()).and_then(|()| stderr.flush());
}
