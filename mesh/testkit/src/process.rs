//! One child process: its output kept for the failure message, its end certain.

use anyhow::{Context, Result, bail};
use std::{
    collections::VecDeque,
    fmt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

/// Lines kept per process: enough for the story of a failure, bounded for a chatty one.
const MAX_LINES: usize = 500;
/// A longer line is kept in pieces of this many bytes.
const MAX_LINE_BYTES: u64 = 4096;

/// A signal that [`Process::signal`] sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Asks for an orderly end (SIGTERM).
    Term,
    /// Asks for a reload, where the program knows one (SIGHUP).
    Hup,
    /// Freezes the process, its sockets stay open (SIGSTOP).
    Stop,
    /// Lets a frozen process run on (SIGCONT).
    Cont,
}

/// A running child process. Dropping it kills it with SIGKILL.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

/// The last lines of standard output and standard error, in the order in which they arrived.
struct Output {
    ring: Mutex<Ring>,
    /// Carries the number of lines ever written.
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<String>,
    /// Number of the line at the front of `lines`.
    first: u64,
}

impl Process {
    /// Starts `command` with its output captured and nothing on standard input.
    ///
    /// `name` stands in failure messages. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(name: impl Into<String>, mut command: Command) -> Result<Self> {
        let name = name.into();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {name}: {command:?}"))?;
        let output = Arc::new(Output { ring: Mutex::default(), written: watch::Sender::new(0) });
        // Both end with the pipe, that is with the process and its children.
        if let Some(pipe) = child.stdout.take() {
            tokio::spawn(capture(pipe, Arc::clone(&output)));
        }
        if let Some(pipe) = child.stderr.take() {
            tokio::spawn(capture(pipe, Arc::clone(&output)));
        }
        Ok(Self { name, child, output })
    }

    /// The process ID, or `None` once the end has been seen.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The exit status if the process has ended.
    ///
    /// # Errors
    /// When the operating system refuses the question.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The captured output: the last 500 lines.
    pub fn output(&self) -> String {
        self.output.lock().lines.iter().map(|line| format!("  {line}\n")).collect()
    }

    /// Waits for a line of output that `wanted` accepts, past lines included, and returns it.
    ///
    /// # Errors
    /// After `limit`, or at once when the process has ended without such a line; both with the output.
    pub async fn wait_for_line(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let output = Arc::clone(&self.output);
        let mut written = output.written.subscribe();
        let mut next = 0;
        let search = async {
            loop {
                written.borrow_and_update();
                if let Some(line) = output.find_from(&mut next, &wanted) {
                    return Some(line);
                }
                tokio::select! {
                    _ = written.changed() => {}
                    _ = self.child.wait() => return output.find_from(&mut next, &wanted),
                }
            }
        };
        match timeout(limit, search).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!("{} ended without the line:\n{}", self.name, self.output()),
            Err(_) => bail!("{} did not print the line within {limit:?}:\n{}", self.name, self.output()),
        }
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// When the process has ended.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.id().with_context(|| format!("{} has ended:\n{}", self.name, self.output()))?;
        let flag = match signal {
            Signal::Term => "-TERM",
            Signal::Hup => "-HUP",
            Signal::Stop => "-STOP",
            Signal::Cont => "-CONT",
        };
        // The command instead of a system call: this workspace has no unsafe code.
        let sent = Command::new("kill").args([flag, &id.to_string()]).status().await.context("kill")?;
        if !sent.success() {
            bail!("kill {flag} {id} ({}): {sent}", self.name);
        }
        Ok(())
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// When the process still runs after `limit`; it is left running.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Term).await?;
        match timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{} did not end within {limit:?} of SIGTERM:\n{}", self.name, self.output()),
        }
    }

    /// Kills the process (SIGKILL) and waits until it is gone. Does nothing when it has ended before.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        if self.try_wait()?.is_none() {
            self.child.kill().await.with_context(|| format!("killing {}", self.name))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        let mut ring = self.lock();
        if ring.lines.len() == MAX_LINES {
            ring.lines.pop_front();
            ring.first += 1;
        }
        ring.lines.push_back(line);
        drop(ring);
        self.written.send_modify(|count| *count += 1);
    }

    /// Searches from line number `next` on, and moves `next` behind what was searched.
    fn find_from(&self, next: &mut u64, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let ring = self.lock();
        let skip = usize::try_from(next.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        *next = ring.first + ring.lines.len() as u64;
        ring.lines.iter().skip(skip).find(|line| wanted(line)).cloned()
    }
}

async fn capture(pipe: impl AsyncRead + Unpin, output: Arc<Output>) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => output.push(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    }
}
