//! Runs the binary: to its end, or as a `dev` mesh that lives as long as a test needs it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Far above what anything takes, so that a hanging test ends with a message.
const LIMIT: Duration = Duration::from_secs(60);

fn command() -> Command {
    own_environment(Command::new(env!("CARGO_BIN_EXE_switchboard")))
}

/// What the developer's shell says must not reach the tests.
fn own_environment(mut command: Command) -> Command {
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name == "RUST_LOG" || name.starts_with("SWITCHBOARD_") || name.starts_with("CONSUL_") {
            command.env_remove(&variable);
        }
    }
    // Times of schedules are local.
    command.env("TZ", "UTC");
    command
}

/// What a finished run left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Expects success, silence on standard error, and gives the output.
    #[track_caller]
    pub(crate) fn output(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// Expects this exit code, silence on standard output, and gives what was said.
    #[track_caller]
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        self.stderr
    }
}

/// Runs to the end without input.
pub(crate) fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Finished {
    run_with_input(args, "")
}

/// Runs a line of a shell, for which `switchboard` is the binary, in this directory.
pub(crate) fn shell(dir: &Path, line: &str) -> Finished {
    let own = Path::new(env!("CARGO_BIN_EXE_switchboard")).parent().expect("it is in a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(own.to_owned()).chain(std::env::split_paths(&path)));
    let mut shell = own_environment(Command::new("sh"));
    shell.args(["-c", line]).current_dir(dir).env("PATH", path.expect("no colon in it"));
    finish(shell, "")
}

/// Runs to the end with a text on standard input.
pub(crate) fn run_with_input<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, input: &str) -> Finished {
    let mut command = command();
    command.args(args);
    finish(command, input)
}

/// Runs until the first line of output, sends it what Ctrl-C sends, and waits for the end.
pub(crate) fn interrupted_after_a_line(args: &[&str]) -> Finished {
    let mut child = command()
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let stderr = drain(child.stderr.take().expect("it is piped"));
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    signal(&child, "INT");
    let rest = drain(stdout);
    let code = wait(&mut child);
    let stdout = line + &rest.recv().expect("drained");
    Finished { code, stdout, stderr: stderr.recv().expect("drained") }
}

/// Sends a signal by its name.
fn signal(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid]).status();
    assert!(sent.expect("there is a shell").success());
}

fn finish(mut command: Command, input: &str) -> Finished {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    // A command that reads nothing may have closed its end already.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let stdout = drain(child.stdout.take().expect("it is piped"));
    let stderr = drain(child.stderr.take().expect("it is piped"));
    let code = wait(&mut child);
    Finished { code, stdout: stdout.recv().expect("drained"), stderr: stderr.recv().expect("drained") }
}

/// Reads a pipe to its end in the background, so that a full one blocks nobody.
fn drain(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn wait(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + LIMIT;
    loop {
        match child.try_wait().expect("it is our child") {
            Some(status) => return status.code(),
            None if Instant::now() >= end => {
                let _ = child.kill();
                panic!("process {} did not end within {LIMIT:?}", child.id());
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A running `switchboard dev`; killed when dropped.
pub(crate) struct Dev {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<ChildStderr>,
    ready: String,
    /// What it keeps between runs, unless a flag says where.
    _state: tempfile::TempDir,
}

impl Dev {
    /// Starts on free ports and waits for the line that says it is ready.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_in(&std::env::temp_dir(), flags)
    }

    /// Starts as [`Dev::start`] does, with a directory for temporary files.
    pub(crate) fn start_in(temporary: &Path, flags: &[&str]) -> Self {
        let free = ["dev", "--grpc", "127.0.0.1:0", "--registry", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let state = tempfile::tempdir().expect("there is room");
        let mut child = command()
            .args(free)
            .args(flags)
            .env("TMPDIR", temporary)
            .env("XDG_STATE_HOME", state.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send((stdout, line));
        });
        match receiver.recv_timeout(LIMIT) {
            Ok((stdout, ready)) if ready.starts_with("switchboard: ready ") => {
                Self { child, stdout, stderr, ready, _state: state }
            }
            other => {
                let _ = child.kill();
                let mut said = String::new();
                let _ = stderr.expect("it is piped").read_to_string(&mut said);
                panic!("dev is not ready: {:?}, {said}", other.map(|(_, line)| line));
            }
        }
    }

    /// An address of the ready line: `grpc`, `registry` or `admin`.
    pub(crate) fn address(&self, name: &str) -> &str {
        let prefix = format!("{name}=");
        let found = self.ready.split_whitespace().find_map(|word| word.strip_prefix(&prefix));
        found.unwrap_or_else(|| panic!("{name} is not in {:?}", self.ready))
    }

    /// Runs a command against this mesh.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        let endpoint = format!("http://{}", self.address("grpc"));
        run(["--endpoint", &endpoint].iter().chain(args))
    }

    /// Sends a signal by its name and waits for the end; gives what was said after the ready line.
    pub(crate) fn stop(mut self, name: &str) -> (Finished, Duration) {
        let begin = Instant::now();
        signal(&self.child, name);
        let stderr = drain(self.stderr.take().expect("stopped once"));
        let mut stdout = String::new();
        let code = wait(&mut self.child);
        self.stdout.read_to_string(&mut stdout).expect("text");
        (Finished { code, stdout, stderr: stderr.recv().expect("drained") }, begin.elapsed())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
