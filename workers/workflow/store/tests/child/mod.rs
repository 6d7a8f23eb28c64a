//! A process that commits and says what was acknowledged, to be killed or robbed of its disk; and what must be true afterwards.
//!
//! The child is the test binary itself. Each file that uses it has a test `child`, which does nothing unless it is one.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use workflow_store::{
    Commit, Committer, CommitterSettings, Count, EmbeddedSettings, EmbeddedStore, Filter, Remembered, Status,
    Store, Summary, WorkflowId, Write,
};

const DIRECTORY: &str = "STORE_TEST_CHILD";
const SERIAL: &str = "STORE_TEST_SERIAL";

/// After how many further commits a workflow ends.
const LIFE: u64 = 4;

/// Small buffers, so that flushes and compactions are among what a crash interrupts.
pub(crate) fn settings() -> EmbeddedSettings {
    EmbeddedSettings {
        write_buffer_bytes: 64 << 10,
        low_bytes: 2 << 20,
        reserve_bytes: 1 << 20,
        ..EmbeddedSettings::default()
    }
}

/// Commit `n`: a workflow that appears, and one that ends.
pub(crate) fn commit(n: u64) -> Commit {
    let mut writes = vec![Write::Create(workflow(n, false))];
    writes.extend((1..=3).map(|seq| Write::Event { id: id(n), seq, data: payload(n, seq) }));
    let remembered = Remembered { hash: [1; 32], response: payload(n, 0), expires_ms: u64::MAX };
    writes.push(Write::Idempotent { scope: Bytes::from_static(b"child"), key: n.to_string(), remembered });
    if let Some(old) = n.checked_sub(LIFE) {
        writes.push(Write::Event { id: id(old), seq: 4, data: payload(old, 4) });
        writes.push(Write::Update(workflow(old, true)));
    }
    Commit::new(writes)
}

/// Checks that the store holds a prefix of the commits, each whole, and gives its length.
pub(crate) fn check(store: &dyn Store) -> u64 {
    let Count::Exact(length) = store.count(&Filter::default()).unwrap() else { panic!("all are counted") };
    let ended = length.saturating_sub(LIFE);
    assert_eq!(store.count(&Filter::status(Status::Completed)).unwrap(), Count::Exact(ended));
    assert_eq!(store.live().unwrap().len() as u64, length - ended);
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(&Filter::default(), after.as_ref(), 1_000).unwrap();
        listed.extend(page.summaries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed.len() as u64, length, "the counter and the list differ");
    for (n, listed) in (0..length).rev().zip(listed) {
        assert_eq!(listed, workflow(n, n < ended), "{n} of {length}");
        let events = store.events(&id(n), 0, 9).unwrap().items;
        let expected = if n < ended { 1..=4 } else { 1..=3 };
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert!(
            events.iter().all(|event| event.data == payload(n, event.seq)),
            "an event of {n} has changed"
        );
        assert!(store.idempotent(b"child", &n.to_string(), 0).unwrap().is_some());
    }
    assert!(store.idempotent(b"child", &length.to_string(), 0).unwrap().is_none(), "half of a commit");
    length
}

fn id(n: u64) -> WorkflowId {
    WorkflowId::new(&format!("w-{n:08}")).unwrap()
}

fn workflow(n: u64, ended: bool) -> Summary {
    let mut summary = Summary::new(id(n), "child", n);
    if ended {
        summary.status = Status::Completed;
        summary.finished_ms = n + LIFE;
    }
    summary
}

fn payload(n: u64, seq: u64) -> Bytes {
    format!("{n}/{seq} ").repeat(20 + (n % 7) as usize * 10).into()
}

/// A child process and what it says.
pub(crate) struct Committing {
    process: Child,
    /// A child ends when this closes, so that none outlives its test when what was killed is the tracer.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Committing {
    /// Starts one. `through` stands before its command line, such as a tracer; a serial one waits for each answer.
    pub(crate) fn start(directory: &Path, through: &[&str], serial: bool) -> Self {
        let binary = env::current_exe().unwrap();
        let mut command = match through {
            [] => Command::new(binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
        };
        command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(DIRECTORY, directory);
        if serial {
            command.env(SERIAL, "1");
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { stdin: process.stdin.take(), process, lines }
    }

    /// The next commit that the child calls durable; `None` when it has ended.
    pub(crate) fn next_acknowledged(&mut self) -> Option<u64> {
        self.next_line("acknowledged ")?.parse().ok()
    }

    /// The next line that begins so, without its beginning.
    pub(crate) fn next_line(&mut self, beginning: &str) -> Option<String> {
        loop {
            let line = self.lines.next()?.unwrap();
            // The test harness prints its own lines, and one without an end.
            if let Some((_, rest)) = line.split_once(beginning) {
                return Some(rest.to_owned());
            }
        }
    }

    /// Lets it end by itself.
    pub(crate) fn finish(mut self) {
        self.stdin = None;
        self.process.wait().unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.stdin = None;
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Commits until it is killed, if this process is a child.
pub(crate) fn run() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let store = Arc::new(EmbeddedStore::open(directory, &settings()).unwrap());
    let committer = Committer::start(store.clone(), CommitterSettings::default()).unwrap();
    let serial = env::var_os(SERIAL).is_some();
    let Count::Exact(first) = store.count(&Filter::default()).unwrap() else { panic!("all are counted") };
    for n in first.. {
        let (done, waits) = std::sync::mpsc::channel();
        let submitted = committer.submit(commit(n), move |outcome| {
            match outcome {
                Ok(()) => say(&format!("acknowledged {n}")),
                Err(error) => say(&format!("failed {error}: {:?}", std::error::Error::source(&*error))),
            }
            let _ = done.send(());
        });
        if submitted.is_err() {
            break;
        }
        if serial || n % 50 == 0 {
            waits.recv().unwrap();
        }
    }
    // The disk has failed; what was read before can be read again.
    say(&format!("reads {}", store.summary(&id(0)).is_ok_and(|summary| summary.is_some())));
    drop(committer);
}

fn say(line: &str) {
    // One system call per line, so that none is half written when the process is killed.
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// A directory in memory where there is one: what a process leaves behind when it is killed is the same there, and the many
/// syncs of these tests cost nothing.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
