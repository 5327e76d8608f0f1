//! Names and times the steps of a task.

use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

/// Completed steps with their durations.
#[derive(Default)]
pub(crate) struct Steps {
    took: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs a step and prints its name and time. The error begins with the name.
    pub(crate) async fn take<T>(
        &mut self,
        what: &'static str,
        step: impl Future<Output = Result<T, Box<dyn Error + Send + Sync>>>,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        println!("==> {what}");
        let start = Instant::now();
        let done = step.await.map_err(|error| format!("{what}: {error}"))?;
        println!("    {:.1} s", start.elapsed().as_secs_f64());
        self.took.push((what, start.elapsed()));
        Ok(done)
    }

    /// Prints all steps with their times.
    pub(crate) fn show(&self) {
        println!();
        for (what, took) in &self.took {
            println!("{:>7.1} s  {what}", took.as_secs_f64());
        }
    }
}
