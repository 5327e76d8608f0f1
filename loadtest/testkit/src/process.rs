//! Runs a program that ends with its owner, however the owner ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Starts a watcher of the owner's pipe, then execs the program, so the program has the shell's pid and is killed as
/// soon as the owner is gone, even by SIGKILL. A parent-death signal would be tied to the owner's thread.
const WATCHED: &str = r#"exec 3<&0
{ cat <&3; kill -KILL $$; [ -z "$KSIT_REMOVE" ] || { sleep 1; rm -rf "$KSIT_REMOVE"; }; } >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null"#;

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot start {0}: {1}")]
    Start(String, #[source] io::Error),
    #[error("{name} ended unexpectedly ({how}); the end of its log:\n{log}")]
    Ended { name: String, how: String, log: String },
    #[error("{name} was not ready within {} s; the end of its log:\n{log}", .after.as_secs())]
    NotReady { name: String, after: Duration, log: String },
}

/// A running program with its output in a file. Dropping it kills the program.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `program`. If the owner dies, `remove` is deleted.
    ///
    /// # Errors
    /// Fails if the log can't be opened or the shell can't be started. A missing program fails later, in
    /// [`Self::check`].
    pub fn start(
        name: &str,
        program: &Path,
        args: &[String],
        env: &[(&str, &str)],
        log: &Path,
        remove: Option<&Path>,
    ) -> Result<Self, ProcessError> {
        let failed = |error| ProcessError::Start(name.to_owned(), error);
        let output = File::options().create(true).append(true).open(log).map_err(failed)?;
        let child = Command::new("sh")
            .args(["-c", WATCHED, name])
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .env("KSIT_REMOVE", remove.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            // Ctrl-C at a terminal reaches only the owner, which then ends everything.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child })
    }

    /// Process ID of the program itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with stdout and stderr.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal to the program.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }

    /// Sends SIGTERM and waits up to `patience`. Returns `None` if the process had to be killed.
    ///
    /// # Errors
    /// Fails if the process is gone before the signal.
    pub async fn stop(mut self, patience: Duration) -> io::Result<Option<std::process::ExitStatus>> {
        self.signal(Signal::SIGTERM)?;
        let end = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(None)
    }

    /// Fails if the program has ended.
    ///
    /// # Errors
    /// Returns the exit status and the end of the log if it has.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(&status.to_string())),
            Err(error) => Err(self.ended(&error.to_string())),
        }
    }

    /// `how`: the exit status, as the log of a killed program does not show it.
    fn ended(&self, how: &str) -> ProcessError {
        ProcessError::Ended { name: self.name.clone(), how: how.to_owned(), log: self.log_end() }
    }

    /// The error for a program that was not ready `after` this long.
    pub fn not_ready(&self, after: Duration) -> ProcessError {
        ProcessError::NotReady { name: self.name.clone(), after, log: self.log_end() }
    }

    /// The last lines of the log.
    pub fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing the pipe would suffice; killing and waiting ensures that the port is free on return.
        let _ = self.child.kill();
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
