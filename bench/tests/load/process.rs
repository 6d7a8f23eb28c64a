//! The processes of a test.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// `switchboard-bench` with these arguments, split at blanks.
pub(crate) fn bench(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard-bench"));
    command.args(args.split_whitespace());
    command
}

/// A backend; ends with the test.
pub(crate) struct Backend {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

impl Backend {
    pub(crate) fn start(args: &str) -> Self {
        let mut command = bench("backend --listen 127.0.0.1:0");
        let mut process = command.args(args.split_whitespace()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening ").unwrap().trim().parse().unwrap();
        Backend { process, address }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a load for a moment; its figures, and whether its exit code was 0.
pub(crate) fn load(target: SocketAddr, args: &str) -> (Value, bool) {
    let output = bench(&format!("load --target {target} --seconds 0.2 --warmup 0 {args}")).output().unwrap();
    let figures = serde_json::from_slice(&output.stdout);
    let figures = figures.unwrap_or_else(|_| panic!("{args}: {}", String::from_utf8_lossy(&output.stderr)));
    (figures, output.status.success())
}

/// Runs a load in which nothing may go wrong.
pub(crate) fn good_load(target: SocketAddr, args: &str) -> Value {
    let (figures, success) = load(target, args);
    assert_eq!(figures["errors"], serde_json::json!({}), "{args}");
    assert!(success, "{args}");
    figures
}
