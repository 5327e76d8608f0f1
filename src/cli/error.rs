//! The error of a command.

use std::{fmt, io};

use crate::controllers::error::OperatorError;
use crate::domain::reason::Failure;

/// A sentence for the user. Errors of kube, parsers and plugins are never its `source`, because they quote their input:
/// see [`crate::hub::cause`].
#[derive(Debug)]
pub(super) struct CliError(String);

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for CliError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for CliError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

impl From<OperatorError> for CliError {
    fn from(error: OperatorError) -> Self {
        Self(error.to_string())
    }
}
