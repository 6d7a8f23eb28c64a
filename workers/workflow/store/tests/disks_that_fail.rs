//! A sync that fails and a disk that is full, injected into the system calls of a child by strace. Without strace, or where it may
//! not trace, these tests say so and pass.

#![expect(clippy::unwrap_used, reason = "tests")]

mod child;

use std::{fs, process::Command};

use child::{Committing, check, settings};
use tempfile::TempDir;
use workflow_store::EmbeddedStore;

#[test]
fn child() {
    child::run();
}

#[expect(clippy::print_stderr, reason = "a test that does nothing says why")]
fn can_trace() -> bool {
    let can = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: strace is not here, or may not trace");
    }
    can
}

/// Runs a child until a commit of it fails; gives what it said, and checks what it left.
fn until_failure(directory: &TempDir, inject: &str) -> (u64, String) {
    // Made by a child that nothing happens to, so that the faults hit commits and not the beginnings.
    let mut first = Committing::start(directory.path(), &[], true);
    first.next_acknowledged().unwrap();
    first.kill();
    drop(first);
    let before = check(&EmbeddedStore::open(directory.path(), &settings()).unwrap());

    let journal = directory.path().join("db/0.jnl");
    let journal = journal.to_str().unwrap();
    let through = ["strace", "-f", "-o", "/dev/null", "-P", journal, "-e", inject];
    let mut child = Committing::start(directory.path(), &through, true);
    let mut acknowledged = before;
    let failure = loop {
        let line = child.next_line("").expect("the child ended without a failure");
        if let Some(number) = line.strip_prefix("acknowledged ") {
            acknowledged = number.parse::<u64>().unwrap() + 1;
        } else if let Some(failure) = line.strip_prefix("failed ") {
            break failure.to_owned();
        }
    };
    assert_eq!(child.next_line("reads ").unwrap(), "true", "reads ended with the writes");
    child.finish();

    let left = check(&EmbeddedStore::open(directory.path(), &settings()).unwrap());
    assert!(left >= acknowledged, "{acknowledged} were acknowledged, {left} are there");
    assert!(left <= acknowledged + 1, "{left} are there, and {acknowledged} were acknowledged");
    (acknowledged, failure)
}

#[test]
fn a_failed_sync_stops_the_store_and_corrupts_nothing() {
    if !can_trace() {
        return;
    }
    let directory = child::directory();
    let (_, failure) = until_failure(&directory, "inject=fdatasync:error=EIO:when=12+");
    assert!(
        failure.contains("writing the journal in") && failure.contains("Input/output error"),
        "{failure}"
    );
}

#[test]
fn a_disk_that_fills_up_stops_the_store_and_corrupts_nothing() {
    if !can_trace() {
        return;
    }
    for when in [5, 6, 7] {
        let directory = child::directory();
        let (_, failure) = until_failure(&directory, &format!("inject=write:error=ENOSPC:when={when}+"));
        assert!(failure.contains("No space left on device"), "{failure}");
    }
}

#[test]
fn each_answer_comes_behind_a_sync() {
    if !can_trace() {
        return;
    }
    let directory = child::directory();
    let trace = tempfile::NamedTempFile::new().unwrap();
    let through = ["strace", "-f", "-y", "-o", trace.path().to_str().unwrap(), "-e", "trace=fdatasync,write"];
    let mut child = Committing::start(directory.path(), &through, true);
    for _ in 0..20 {
        child.next_acknowledged().unwrap();
    }
    child.finish();

    let (mut written, mut synced, mut answers) = (false, false, 0);
    for line in fs::read_to_string(trace.path()).unwrap().lines() {
        let journal = line.contains(".jnl>");
        if journal && line.contains("write(") {
            (written, synced) = (true, false);
        } else if line.contains("fdatasync") && line.ends_with("= 0") {
            // A call that was interrupted in the trace has lost its file, and the journal's is the only one that is data-synced.
            synced = true;
        } else if line.contains("acknowledged") {
            assert!(written && synced, "an answer before its sync: {line}");
            (written, synced) = (false, false);
            answers += 1;
        }
    }
    assert!(answers >= 20, "{answers} answers in the trace");
}
