//! Errors that end a replica.

use super::coordinator::LeadError;
use crate::domain::election::EmptyIdentity;
use crate::hub::{ElectionError, LeaseLost, cause};
use crate::observability::ServeError;

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("the hub {}", cause(.0))]
    Client(#[from] kube::Error),
    #[error("can't start the Lease thread: {0}")]
    Thread(std::io::Error),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error(transparent)]
    Identity(#[from] EmptyIdentity),
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    #[error(transparent)]
    Election(#[from] ElectionError),
    #[error(transparent)]
    Lead(#[from] LeadError),
    #[error("{0} exited unexpectedly; please report this bug")]
    Ended(&'static str),
    #[error("{0} crashed; please report this bug")]
    Crashed(&'static str),
}
