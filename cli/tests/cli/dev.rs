//! `dev`: a whole mesh in one process, seen from a second terminal.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::process::{Dev, run};

const GREETING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../workers/workflow/examples/greeting.json");

#[test]
fn ready_line_has_three_addresses_that_answer() {
    let dev = Dev::start(&["--backends", "none"]);
    for (name, path) in [("registry", "/v1/status/leader"), ("admin", "/readyz")] {
        let mut stream = TcpStream::connect(dev.address(name)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.split_whitespace().nth(1) == Some("200"), "{name}: {answer}");
    }
    assert_eq!(dev.run(&["ls", "--json"]).output(), "[]\n");
}

#[test]
fn every_example_is_callable_and_listed() {
    let dev = Dev::start(&[]);
    assert_eq!(dev.run(&["call", "echo-agent", "hello"]).output(), "Echo: hello\n");
    assert_eq!(dev.run(&["call", "echo-agent", "--stream", "one two three"]).output(), "one\ntwo\nthree\n");
    let weather = ["call", "weather-tool", "--op", "get_weather", "--param", "location=Rome"];
    assert!(dev.run(&weather).output().contains("Rome"));
    // The worker asks the tool through the same router.
    let plan = ["call", "itinerary-worker", "--param", "destination=Rome", "--json"];
    let plan: serde_json::Value = serde_json::from_str(&dev.run(&plan).output()).unwrap();
    assert_eq!(plan["metadata"]["weather"], "forecast", "{plan}");

    let table = dev.run(&["ls"]).output();
    for text in ["ID", "ENDPOINT", "echo-agent", "weather-tool", "itinerary-worker", "workflow-worker"] {
        assert!(table.contains(text), "{text}: {table}");
    }
    let listed: serde_json::Value =
        serde_json::from_str(&dev.run(&["ls", "tools", "--json"]).output()).unwrap();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &"weather-tool".into()));
    let filtered = dev.run(&["ls", "--filter", "itin"]).output();
    assert!(filtered.contains("itinerary-worker") && !filtered.contains("echo-agent"), "{filtered}");
}

#[test]
fn task_is_asked_for_while_it_runs() {
    let dev = Dev::start(&["--backends", "itinerary"]);
    let done = ["call", "itinerary-worker", "--param", "destination=Rome", "--task-id", "trip"];
    let plan = dev.run(&done).output();
    let status = dev.run(&["call", "itinerary-worker", "--status", "--task-id", "trip"]).output();
    assert!(status.contains("completed") && status.ends_with(&plan), "{status}");
}

#[test]
fn unknown_id_is_told_with_the_nearest_and_the_next_step() {
    let dev = Dev::start(&["--backends", "echo"]);
    // The router follows the catalogue of names a moment behind the services themselves.
    let end = Instant::now() + Duration::from_secs(10);
    let said = loop {
        let said = dev.run(&["call", "ehco-agent", "hello"]).failure(5);
        if said.contains("did you mean") || Instant::now() >= end {
            break said;
        }
    };
    for text in ["ehco-agent", "did you mean echo-agent?", "switchboard ls", "NOT_FOUND, ID_UNKNOWN"] {
        assert!(said.contains(text), "{text:?} in {said}");
    }
}

#[test]
fn failed_call_is_told_with_what_the_router_knew() {
    let dev = Dev::start(&["--backends", "none"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let body = format!(
        r#"{{"Name": "agent-gone", "ID": "gone-7", "Address": "127.0.0.1", "Port": {}}}"#,
        closed.port()
    );
    let mut registry = TcpStream::connect(dev.address("registry")).unwrap();
    let length = body.len();
    let head =
        format!("PUT /v1/agent/service/register HTTP/1.0\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    registry.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    registry.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.split_whitespace().nth(1), Some("200"), "{answer}");
    let said = dev.run(&["call", "gone-agent", "hello", "-H", "x-request-id=r-1"]).failure(14);
    let facts = "facts: agent-gone has 1 instance, 1 healthy; at instance gone-7; request r-1\n";
    assert!(said.contains(facts) && said.contains("UNAVAILABLE, CONNECT_FAILED"), "{said}");
}

#[test]
fn deadline_holds_through_the_router() {
    let dev = Dev::start(&["--backends", "itinerary"]);
    let slow =
        ["call", "itinerary-worker", "-p", "destination=Rome", "-p", "pace_ms=10000", "--deadline", "200ms"];
    assert!(dev.run(&slow).failure(4).contains("DEADLINE_EXCEEDED"));
}

#[test]
fn missing_operation_shows_what_the_tool_says_of_itself() {
    let dev = Dev::start(&["--backends", "weather"]);
    let said = dev.run(&["call", "weather-tool"]).failure(64);
    assert!(said.contains("--op") && said.contains("get_weather"), "{said}");
}

#[test]
fn workflows_run_and_are_kept_for_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let flags = ["--backends", "echo,workflow", "--data", data.path().to_str().unwrap()];
    let dev = Dev::start(&flags);
    let said = dev.run(&["workflow", "run", GREETING]);
    assert!(said.code == Some(0) && said.stdout.contains("Echo: Hello"), "{said:?}");

    let mut second =
        vec!["dev", "--grpc", "127.0.0.1:0", "--registry", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    second.extend(flags);
    let refused = run(second).failure(1);
    assert!(refused.contains("--data DIR") && refused.contains("process"), "{refused}");

    let (done, _) = dev.stop("TERM");
    assert!(done.code == Some(0) && done.stderr.contains(flags[3]), "it says where: {done:?}");
    let dev = Dev::start(&flags);
    let kept = dev.run(&["workflow", "list"]).output();
    assert!(kept.contains("greeting-1") && kept.contains("COMPLETED"), "{kept}");
}

#[test]
fn two_meshes_serve_http_at_ports_of_their_own() {
    let meshes = [(); 2].map(|()| Dev::start(&["--backends", "workflow"]));
    let [first, second] = meshes.each_ref().map(|dev| dev.address("http").to_owned());
    assert_ne!(first, second);
    for http in [first, second] {
        assert!(http.starts_with("127.0.0.1:"), "{http}");
        let mut stream = TcpStream::connect(&http).unwrap();
        stream
            .write_all(format!("GET /api/v1/workflows HTTP/1.0\r\nHost: {http}\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.split_whitespace().nth(1) == Some("200"), "{http}: {answer}");
    }
    let [dev, _other] = meshes;
    let http = dev.address("http").to_owned();
    let (done, _) = dev.stop("TERM");
    assert!(done.stderr.contains(&format!("http://{http}/ui")), "it says where to look: {done:?}");
}

#[test]
fn signals_end_the_mesh_quickly_and_in_peace() {
    for signal in ["TERM", "INT"] {
        let dev = Dev::start(&[]);
        let (done, took) = dev.stop(signal);
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{signal}: {done:?}");
        assert!(!done.stderr.contains("WARN") && !done.stderr.contains("ERROR"), "{signal}: {}", done.stderr);
        assert!(done.stderr.contains("switchboard --endpoint"), "{signal}: {}", done.stderr);
        assert!(took < Duration::from_secs(5), "{signal}: {took:?}");
    }
}

#[test]
fn busy_port_is_told_with_its_flag() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = held.local_addr().unwrap().to_string();
    let flags = ["--grpc", "--registry", "--admin", "--http"];
    for flag in flags {
        let mut args = vec!["dev"];
        for free in flags {
            args.extend([free, if free == flag { busy.as_str() } else { "127.0.0.1:0" }]);
        }
        let said = run(args).failure(1);
        assert!(said.contains(&format!("{flag} {busy}: the port is in use")), "{flag}: {said}");
        assert!(said.contains("127.0.0.1:0"), "{flag}: {said}");
    }
}

#[test]
fn one_port_for_two_flags_is_found() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let said = run(["dev", "--grpc", &free, "--admin", &free, "--registry", "127.0.0.1:0"]).failure(1);
    assert!(said.contains("--admin") && said.contains("in use"), "{said}");
}

#[test]
fn a_secured_mesh_lets_nobody_in_without_credentials_and_leaves_no_key_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let dev = Dev::start_in(temporary.path(), &["--secure", "--backends", "echo,weather,itinerary,workflow"]);
    let made: Vec<_> =
        std::fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [certs] = made.as_slice() else { panic!("{made:?}") };
    let file = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    let endpoint = format!("https://{}", dev.address("grpc"));
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let known = ["--endpoint", &endpoint, "--ca", &ca, "--cert", &cert, "--key", &key];
    // The worker asks the tool through the same router, with a certificate of its own.
    let plan = ["call", "itinerary-worker", "--param", "destination=Rome", "--json"];
    let plan: serde_json::Value = serde_json::from_str(&run(known.iter().chain(&plan)).output()).unwrap();
    assert_eq!(plan["metadata"]["weather"], "forecast", "{plan}");
    // And so does the engine.
    let workflow = run(known.iter().chain(&["workflow", "run", GREETING]));
    assert!(workflow.code == Some(0) && workflow.stdout.contains("Echo: Hello"), "{workflow:?}");
    let nobody = ["--endpoint", &endpoint, "--ca", &ca, "call", "echo-agent", "x"];
    assert!(run(nobody).failure(16).contains("CREDENTIALS_MISSING"));
    // What is certain depends on whether the router's answer or the call is first.
    let in_clear = dev.run(&["call", "echo-agent", "x"]);
    assert!(in_clear.code != Some(0) && in_clear.stderr.contains("this port speaks TLS"), "{in_clear:?}");
    assert!(in_clear.stderr.contains("use https:// and --ca FILE"), "{in_clear:?}");
    assert!(!in_clear.stderr.contains("PERMISSION_DENIED"), "{in_clear:?}");
    let http = dev.address("http").to_owned();
    let (done, _) = dev.stop("TERM");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains(&format!("https://{http}/ui")), "{done:?}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "left behind");
}
