//! Without a router: every command says so and how to start one.

use std::net::TcpListener;

use crate::process::run;

/// An address that nobody listens on.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

#[test]
fn refused_connection_is_unavailable_and_tells_how_to_start() {
    let endpoint = closed();
    for command in [
        vec!["ls"],
        vec!["call", "echo-agent", "hello"],
        vec!["call", "echo-agent", "--stream", "hello"],
        vec!["call", "echo-agent", "--status"],
        vec!["call", "weather-tool", "--op", "get_weather"],
    ] {
        let said = run([vec!["--endpoint", &endpoint], command.clone()].concat()).failure(14);
        assert!(said.contains(&format!("failed to connect to {endpoint}")), "{command:?}: {said}");
        assert!(said.contains("UNAVAILABLE") && said.contains("switchboard dev"), "{command:?}: {said}");
    }
}

#[test]
fn missing_operation_is_told_also_without_a_router() {
    let said = run(["--endpoint", &closed(), "call", "weather-tool"]).failure(64);
    assert!(said.contains("--op"), "{said}");
}
