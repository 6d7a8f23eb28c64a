//! One child process: its output kept for the message of a failure, its end certain.

use crate::run::interrupt;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process has to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// Between two looks; short beside a start, and nothing beside a measurement.
const POLL: Duration = Duration::from_millis(10);
/// Lines of output in a message.
const LINES: usize = 15;

/// A running child process. Dropping it ends it: SIGTERM, after 3 s SIGKILL, its children too.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command` with nothing on standard input and its output in a file of `folder`.
    ///
    /// Settings of this project in the environment do not reach it, so that a run is the same for everyone; what
    /// `command` sets itself does. It has its own process group: ctrl-C reaches the runner, which ends it in order.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn spawn(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let output = folder.join(format!("{name}.log"));
        let file = File::create(&output).with_context(|| format!("cannot create {}", output.display()))?;
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            let ours = text.starts_with("SWITCHBOARD_") || text.starts_with("CONSUL_") || text == "RUST_LOG";
            if ours && !command.get_envs().any(|(set, _)| set == variable) {
                command.env_remove(&variable);
            }
        }
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, output })
    }

    /// Its process ID and those of its children, whose CPU time counts too (nginx: master and worker).
    pub(crate) fn pids(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid).chain(children.split_whitespace().filter_map(|word| word.parse().ok())).collect()
    }

    /// Fails if it has ended, with what it printed last.
    ///
    /// # Errors
    /// It has.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} has ended ({status}):\n{}", self.name, self.last_lines()),
            None => Ok(()),
        }
    }

    /// Everything it printed.
    pub(crate) fn output(&self) -> String {
        fs::read(&self.output)
            .map_or_else(|error| error.to_string(), |it| String::from_utf8_lossy(&it).into())
    }

    /// The last lines that it printed, for a message.
    pub(crate) fn last_lines(&self) -> String {
        let output = self.output();
        let lines: Vec<_> = output.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Waits until `ready` gives something.
    ///
    /// # Errors
    /// After `limit`, when the process has ended, or when the run is interrupted.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        loop {
            // Asked before the look: what a process printed before its end counts.
            let ended = self.child.try_wait()?;
            if let Some(found) = ready(self) {
                return Ok(found);
            }
            interrupt::check()?;
            if let Some(status) = ended {
                bail!("{} ended ({status}) before {what}:\n{}", self.name, self.last_lines());
            }
            if Instant::now() > end {
                bail!("{}: no {what} within {} s:\n{}", self.name, limit.as_secs(), self.last_lines());
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until something accepts connections at `address`.
    ///
    /// # Errors
    /// As [`Process::wait_for`].
    pub(crate) fn wait_listening(&mut self, address: SocketAddr, limit: Duration) -> Result<()> {
        self.wait_for(&format!("listener at {address}"), limit, |_| {
            TcpStream::connect(address).ok().map(drop)
        })
    }

    /// Waits for the line `listening ADDRESS` of this crate's own servers.
    ///
    /// # Errors
    /// As [`Process::wait_for`].
    pub(crate) fn wait_address(&mut self, limit: Duration) -> Result<SocketAddr> {
        self.wait_for("line `listening ADDRESS`", limit, |process| {
            let output = process.output();
            output.lines().find_map(|line| line.strip_prefix("listening ")?.trim().parse().ok())
        })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// After `limit`, or when the run is interrupted.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            interrupt::check()?;
            if Instant::now() > end {
                bail!("{} did not end within {} s:\n{}", self.name, limit.as_secs(), self.last_lines());
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let pids = self.pids();
        signal("-TERM", &pids[..1]);
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL);
        }
        // The parent last: until then the IDs of its children belong to nobody else.
        signal("-KILL", &pids[1..]);
        // Nothing is left to do if the kernel refuses.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shell's `kill` instead of a system call: this workspace has no unsafe code.
fn signal(signal: &str, pids: &[u32]) {
    if !pids.is_empty() {
        let mut kill = Command::new("sh");
        kill.args(["-c", r#"kill "$@" 2>/dev/null"#, "sh", signal]);
        // A process that has ended meanwhile needs no signal.
        let _ = kill.args(pids.iter().map(u32::to_string)).stdin(Stdio::null()).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, folder: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("script", command, folder).unwrap()
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn an_early_end_shows_what_was_printed() {
        let folder = tempfile::tempdir().unwrap();
        let error = sh("echo no such port >&2; exit 3", folder.path()).wait_address(LIMIT).unwrap_err();
        assert!(error.to_string().contains("no such port"), "{error}");
    }

    #[test]
    fn the_address_is_read_from_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sh("echo hello; echo listening 127.0.0.1:81; exec sleep 60", folder.path());
        assert_eq!(process.wait_address(LIMIT).unwrap(), "127.0.0.1:81".parse().unwrap());
    }

    #[test]
    fn dropping_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let process = sh("exec sleep 60", folder.path());
        let pid = process.pids()[0];
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
