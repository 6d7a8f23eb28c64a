//! The binary: registers by itself, leaves on SIGTERM.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;
use switchboard_registry::{Client, Config, Query, embedded};
use switchboard_testkit::{Process, Signal, eventually};
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(30);

fn command(registry: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo-agent"));
    command.args(["--listen", "127.0.0.1:0", "--consul", registry]).args(arguments);
    // What the developer's shell has set must not matter.
    for variable in ["RUST_LOG", "CONSUL_HTTP_TOKEN", "SWITCHBOARD_ADVERTISE"] {
        command.env_remove(variable);
    }
    command
}

fn echo_agent(registry: &str, arguments: &[&str]) -> Process {
    Process::spawn("echo-agent", command(registry, arguments)).unwrap()
}

#[tokio::test]
async fn it_registers_and_leaves_on_sigterm() {
    let registry = embedded::Server::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = registry.addr().to_string();
    let client = Client::new(Config::at(&address).unwrap()).unwrap();
    let count = async |expected: usize| {
        let seen = async || {
            let found = client.health("agent-echo", &Query::passing()).await.unwrap().value;
            if found.len() == expected { Ok(()) } else { Err(found) }
        };
        eventually(SOON, seen).await.unwrap();
    };

    let mut process = echo_agent(&address, &[]);
    let line = process.wait_for_line(SOON, |line| line.contains("call it as")).await.unwrap();
    for said in ["agentplatform.AgentService on 127.0.0.1:", &address, "\"echo-agent\""] {
        assert!(line.contains(said), "{line}");
    }
    count(1).await;
    let status = process.terminate(SOON).await.unwrap();
    assert!(status.success(), "{status}\n{}", process.output());
    count(0).await;
}

#[tokio::test]
async fn a_missing_registry_is_explained_and_a_second_signal_ends_at_once() {
    let mut process = echo_agent("127.0.0.1:1", &["--log-json"]);
    let line = process.wait_for_line(SOON, |line| line.contains("start the registry")).await.unwrap();
    assert!(line.starts_with("{\"service\":\"echo-agent\"") && line.contains("CONSUL_HTTP_ADDR"), "{line}");

    process.signal(Signal::Term).await.unwrap();
    process.wait_for_line(SOON, |line| line.contains("a second signal")).await.unwrap();
    let status = process.terminate(SOON).await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", process.output());
}

#[tokio::test]
async fn a_wrong_flag_is_explained() {
    let output = command("127.0.0.1:1", &["--advertise", "http://x"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("expected auto, an address or address:port"), "{said}");
}
