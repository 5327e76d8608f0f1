//! Supervises the tasks that run as long as the process.

use std::collections::HashMap;
use std::future::Future;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::{Id, JoinSet};

use super::error::OperatorError;

/// Dropping it aborts all roles.
#[derive(Default)]
pub(super) struct Roles {
    tasks: JoinSet<Result<(), OperatorError>>,
    names: HashMap<Id, &'static str>,
}

impl Roles {
    pub(super) fn start(
        &mut self,
        name: &'static str,
        role: impl Future<Output = Result<(), OperatorError>> + Send + 'static,
    ) {
        let role: BoxFuture<'static, _> = role.boxed();
        let id = self.tasks.spawn(role).id();
        self.names.insert(id, name);
    }

    /// Waits until a role ends, which is an error whatever it returns.
    pub(super) async fn first_end(&mut self) -> OperatorError {
        let name = |id| self.names.get(&id).copied().unwrap_or("a role");
        match self.tasks.join_next_with_id().await {
            Some(Ok((_, Err(error)))) => error,
            Some(Ok((id, Ok(())))) => OperatorError::Ended(name(id)),
            Some(Err(error)) => OperatorError::Crashed(name(error.id())),
            None => OperatorError::Ended("every role"),
        }
    }

    /// Aborts all roles and waits until they have ended.
    pub(super) async fn end(&mut self) {
        self.tasks.shutdown().await;
    }
}
