//! Where commands print. A reader that has enough, as `head`, is no failure, and the `print!` of the library would panic.

use std::io::{self, ErrorKind, Write};

use super::CliError;
use crate::domain::escape::escape_lines;

/// To stdout. False: nobody reads any more.
pub(super) fn print(text: &str) -> Result<bool, CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("stdout: {error}").into()),
    }
}

/// To stderr, if anybody reads it.
pub(super) fn print_error(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(escape_lines(text).as_bytes()).and_then(|()| stderr.flush());
}
