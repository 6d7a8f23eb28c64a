//! The binary: its configuration, its exit codes, its signals.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    process::{Command, Output},
    time::Duration,
};
use switchboard_registry::embedded::Server;
use switchboard_testkit::{Process, Signal, eventually, free_ports, get};

const PATIENCE: Duration = Duration::from_secs(20);

fn router(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_switchboard-router")).args(args).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_wrong_configuration_is_told_whole_and_ends_with_64() {
    let output = router(&["--grpc", "here", "--workers", "many", "--log-format", "xml"]);
    assert_eq!(output.status.code(), Some(64));
    for flag in ["--grpc", "--workers", "--log-format"] {
        assert!(text(&output.stderr).contains(flag), "{}", text(&output.stderr));
    }
    assert_eq!(router(&["--no-such-flag"]).status.code(), Some(64));
}

#[test]
fn the_effective_configuration_is_printed_as_a_file() {
    for args in [&["config", "--grpc", "127.0.0.1:7"][..], &["--print-config", "--grpc", "127.0.0.1:7"]] {
        let output = router(args);
        assert_eq!(output.status.code(), Some(0));
        let table: toml::Table = text(&output.stdout).parse().unwrap();
        assert_eq!(table["grpc"].as_str(), Some("127.0.0.1:7"));
        assert_eq!(table["drain_limit"].as_str(), Some("2m"));
    }
    assert_eq!(router(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_health_check_of_nothing_fails() {
    let port = switchboard_testkit::free_port();
    let output = router(&["healthcheck", "--admin", &format!("127.0.0.1:{port}")]);
    assert_eq!(output.status.code(), Some(1));
}

/// Starts the binary on two ports of its own, with a quick end, and waits until it is ready.
async fn running(registry: &Server, drain_accept: &str) -> Process {
    let [grpc, admin] = free_ports();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_switchboard-router"));
    command
        .args(["--grpc", &format!("127.0.0.1:{grpc}"), "--admin", &format!("127.0.0.1:{admin}")])
        .args(["--registry", &registry.addr().to_string()])
        .env("SWITCHBOARD_DRAIN_ACCEPT", drain_accept)
        .env("SWITCHBOARD_DRAIN_GOAWAY_GAP", "0ms");
    let process = Process::spawn("router", command).unwrap();
    let ready = async || match get(([127, 0, 0, 1], admin).into(), "/readyz").await {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?} {}", process.output())),
    };
    eventually(PATIENCE, ready).await.unwrap();
    process
}

#[tokio::test]
async fn a_signal_ends_it_in_order() {
    let registry = Server::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut router = running(&registry, "0ms").await;
    let status = router.terminate(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", router.output());
    assert!(router.output().contains("draining"), "{}", router.output());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let registry = Server::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut router = running(&registry, "10m").await;
    router.signal(Signal::Term).await.unwrap();
    router.wait_for_line(PATIENCE, |line| line.contains("draining")).await.unwrap();
    let status = router.terminate(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", router.output());
}
