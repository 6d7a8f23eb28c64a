//! A child's output can be waited for and is bounded; its end is certain.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;
use switchboard_testkit::{Process, Signal, eventually};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Process {
    let mut command = Command::new("bash");
    command.args(["-c", script]);
    Process::spawn("script", command).unwrap()
}

#[tokio::test]
async fn a_line_of_either_stream_is_found_even_if_it_came_before_the_wait() {
    let mut script = shell("echo first; echo 'port=17' >&2; sleep 60");
    assert_eq!(script.wait_for_line(LIMIT, |line| line.starts_with("port=")).await.unwrap(), "port=17");
    assert_eq!(script.wait_for_line(LIMIT, |line| line == "first").await.unwrap(), "first");
}

#[tokio::test]
async fn an_early_end_is_reported_with_the_output() {
    let mut script = shell("echo 'cannot bind'; exit 3");
    let error = script.wait_for_line(LIMIT, |line| line == "ready").await.unwrap_err().to_string();
    assert!(error.contains("ended without the line"), "{error}");
    eventually(
        LIMIT,
        async || if script.output().contains("cannot bind") { Ok(()) } else { Err(script.output()) },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn only_the_last_500_lines_are_kept() {
    let mut script = shell("for i in $(seq 2000); do echo line $i; done; echo end; sleep 60");
    script.wait_for_line(LIMIT, |line| line == "end").await.unwrap();
    let output = script.output();
    assert_eq!(output.lines().count(), 500);
    assert!(!output.contains("line 1501\n") && output.contains("line 1502\n"), "{output}");
}

#[tokio::test]
async fn sigterm_is_answered_by_the_program() {
    let mut script = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    script.wait_for_line(LIMIT, |line| line == "ready").await.unwrap();
    assert_eq!(script.terminate(LIMIT).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn a_frozen_process_dies_by_kill_and_on_drop() {
    for drop_it in [false, true] {
        let mut script = shell("echo ready; sleep 60");
        script.wait_for_line(LIMIT, |line| line == "ready").await.unwrap();
        let folder = format!("/proc/{}", script.id().unwrap());
        script.signal(Signal::Stop).await.unwrap();
        if drop_it {
            drop(script);
        } else {
            script.kill().await.unwrap();
            assert!(script.try_wait().unwrap().is_some());
        }
        let gone = async || if std::path::Path::new(&folder).exists() { Err(folder.clone()) } else { Ok(()) };
        eventually(LIMIT, gone).await.unwrap();
    }
}
