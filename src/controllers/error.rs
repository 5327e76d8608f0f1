//! Why a replica ends.

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
    #[error("a thread for Leases can't be started: {0}")]
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
    #[error("{0} ended, which it never should; restart ksit and tell its makers")]
    Ended(&'static str),
    #[error("{0} crashed; restart ksit and tell its makers")]
    Crashed(&'static str),
}
