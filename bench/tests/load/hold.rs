//! Connections and streams are held until stdin ends.

use crate::process::{Backend, bench};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

fn hold(backend: &Backend, args: &str) -> (Child, String) {
    let mut command = bench(&format!("load --target {} {args}", backend.address));
    let mut held =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(held.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (held, line)
}

#[test]
fn connections_and_streams_are_held_until_stdin_ends() {
    let backend = Backend::start("");
    let (mut held, line) =
        hold(&backend, "--connections 2 --idle-connections 100 --idle-streams 50 --stalled-streams 5");
    assert_eq!(line, "ready\n");
    assert!(held.try_wait().unwrap().is_none(), "it holds them");
    drop(held.stdin.take());
    assert!(held.wait().unwrap().success());
}

#[test]
fn a_lost_connection_is_an_error() {
    let backend = Backend::start("");
    let (mut held, line) = hold(&backend, "--idle-connections 1");
    assert_eq!(line, "ready\n");
    // `wait` would end stdin, which is the other reason to stop.
    let stdin = held.stdin.take();
    drop(backend);
    assert!(!held.wait().unwrap().success());
    drop(stdin);
}
