//! `top --once`: two looks at admin ports, which here are a few lines of HTTP with figures that grow.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use serde_json::Value;

use crate::process::{Dev, run};

const ENDPOINTS: &str = r#"{
  "registry": {"address": "http://127.0.0.1:8500", "reachable": true, "stale_seconds": 0.0},
  "services": [{"service": "agent-echo", "id": "echo-agent", "watched": true, "known": 2, "healthy": 1,
    "idle_seconds": 0, "instances": [
      {"id": "echo-1", "node": "n1", "address": "10.0.0.1:50052", "status": "passing", "version": "v2",
       "healthy": true, "problem": null, "open_streams": 3, "capacity": 100, "latency_us": 12000.0,
       "calls": CALLS, "failures": 0, "durations_us": [[5000, 0], [10000, CALLS], [null, 0]], "draining": true,
       "down": false, "ejected": false},
      {"id": "echo-2", "node": "n2", "address": "10.0.0.2:50052", "status": "passing", "version": null,
       "healthy": true, "problem": null, "open_streams": 1, "capacity": null, "latency_us": null,
       "down": false, "ejected": true}]}],
  "grpc_services": {}, "catalog": ["agent-echo"]}"#;

/// An admin port. Each look sees 40 calls more, 10 of them failed, all of them between 5 and 10 ms.
fn admin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut looks = [0; 2];
        for stream in listener.incoming() {
            answer(stream.unwrap(), &mut looks);
        }
    });
    address
}

fn answer(mut stream: TcpStream, [endpoints, metrics]: &mut [u64; 2]) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let request = lines.next().unwrap();
    // All of it is read, so that the close is no reset.
    assert!(lines.any(|line| line.is_empty()));
    let (status, body) = match request.split(' ').nth(1).unwrap() {
        "/endpoints" => {
            *endpoints += 1;
            ("200 OK", ENDPOINTS.replace("CALLS", &(40 * *endpoints).to_string()))
        }
        "/metrics" => {
            *metrics += 1;
            ("200 OK", figures(*metrics))
        }
        _ => ("404 Not Found", String::new()),
    };
    let length = body.len();
    write!(stream, "HTTP/1.0 {status}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
}

fn figures(looks: u64) -> String {
    let calls =
        "switchboard_calls_total{service=\"agent-echo\",method=\"ExecuteTask\",origin=\"backend\",code=";
    let bucket = "switchboard_call_duration_seconds_bucket{service=\"agent-echo\",le=";
    let (good, bad, all) = (30 * looks, 10 * looks, 40 * looks);
    format!(
        "# TYPE switchboard_calls_in_flight gauge\nswitchboard_calls_in_flight 2\n\
         {calls}\"0\"}} {good}\n{calls}\"14\"}} {bad}\n\
         {bucket}\"0.005\"}} 0\n{bucket}\"0.01\"}} {all}\n{bucket}\"+Inf\"}} {all}\n"
    )
}

/// A port that nobody listens on.
fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn look(admin: &[String], flags: &[&str]) -> crate::process::Finished {
    let mut args = vec!["top", "--once", "--interval", "100ms"];
    for address in admin {
        args.extend(["--admin", address]);
    }
    args.extend(flags);
    run(args)
}

fn json(admin: &[String]) -> Value {
    serde_json::from_str(&look(admin, &["--json"]).output()).unwrap()
}

#[test]
fn json_has_the_difference_of_two_looks() {
    let json = json(&[admin().to_string()]);
    let service = &json["services"][0];
    assert_eq!(
        (&service["id"], &service["known"], &service["ejected"]),
        (&"echo-agent".into(), &2.into(), &1.into())
    );
    let rate = |name: &str| service[name].as_f64().unwrap();
    // 40 calls in 100 ms or, on a busy machine, more.
    assert!(rate("calls_per_second") > 0.0 && rate("calls_per_second") <= 400.0, "{json}");
    assert!((rate("errors_per_second") * 4.0 - rate("calls_per_second")).abs() < 0.01, "{json}");
    assert_eq!((rate("p50_ms"), rate("p99_ms"), rate("open_streams")), (7.5, 9.95, 4.0));
    let instance = &service["instances"][0];
    assert_eq!((&instance["capacity"], &instance["latency_ms"]), (&100.into(), &12.0.into()));
    assert_eq!(
        (&instance["p50_ms"], &instance["p99_ms"], &instance["draining"]),
        (&7.5.into(), &9.95.into(), &true.into())
    );
    assert_eq!(instance["calls_per_second"], service["calls_per_second"]);
    // A router that counts nothing by instance says nothing.
    assert_eq!(
        (&service["instances"][1]["calls_per_second"], &service["instances"][1]["p50_ms"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(json["routers"][0]["registry"]["reachable"], true);
    assert_eq!(json["totals"]["calls_in_flight"], 2);
}

#[test]
fn several_routers_add_up() {
    let json = json(&[admin().to_string(), format!("http://{}", admin())]);
    let service = &json["services"][0];
    assert_eq!(
        (&service["open_streams"], &service["known"], &service["p50_ms"]),
        (&8.into(), &2.into(), &7.5.into())
    );
    assert_eq!(
        (&service["instances"][1]["routers"], &service["instances"][1]["routers_ejecting"]),
        (&2.into(), &2.into())
    );
    assert_eq!(json["routers"].as_array().unwrap().len(), 2);
}

#[test]
fn the_plain_table_shows_services_and_instances() {
    let text = look(&[admin().to_string()], &[]).output();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("SERVICE") && lines[0].ends_with("STATE"), "{text}");
    assert!(
        lines[1].starts_with("echo-agent") && lines[1].contains("1/2") && lines[1].ends_with("1 ejected"),
        "{text}"
    );
    assert!(lines[2].starts_with("  10.0.0.1:50052 v2 echo-1") && lines[2].contains("3/100"), "{text}");
    assert!(
        lines[2].contains("7.5ms") && lines[2].ends_with("draining") && lines[3].ends_with("ejected"),
        "{text}"
    );
    assert!(text.ends_with("registry current\n"), "{text}");
}

#[test]
fn a_router_that_does_not_answer_is_told_beside_the_others() {
    let closed = closed();
    let done = look(&[admin().to_string(), closed.clone()], &["--json"]);
    assert!(done.stderr.contains(&format!("{closed} cannot be reached")), "{done:?}");
    let json: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((done.code, &json["routers"][1]["reachable"]), (Some(0), &false.into()));
    assert_eq!(json["services"][0]["open_streams"], 4);
}

#[test]
fn no_router_at_all_is_unavailable() {
    let closed = closed();
    let said = look(std::slice::from_ref(&closed), &["--json"]).failure(14);
    for words in ["no router answers", &closed, "connection refused", "switchboard dev", "--admin"] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
}

#[test]
fn a_port_of_something_else_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever speaks first and is no HTTP server.
            let _ = stream.unwrap().write_all(b"220 mail ready\r\n");
        }
    });
    let said = look(&[address], &[]).failure(14);
    assert!(said.contains("no router answers"), "{said}");
}

#[test]
fn a_real_router_is_shown_after_its_first_call() {
    let dev = Dev::start(&["--backends", "echo"]);
    let called = || {
        assert_eq!(dev.run(&["call", "echo-agent", "hello"]).output(), "Echo: hello\n");
        let json = json(&[dev.address("admin").to_owned()]);
        let echo = json["services"]
            .as_array()
            .unwrap()
            .iter()
            .find(|service| service["id"] == "echo-agent")
            .cloned();
        // Latency is forgotten after 10 s: a machine that slept in between is asked again.
        echo.filter(|echo| echo["instances"][0]["latency_ms"].as_f64().is_some_and(|ms| ms > 0.0))
    };
    let echo = (0..5).find_map(|_| called()).expect("the router shows what it has just measured");
    assert_eq!(
        (&echo["known"], &echo["healthy"], &echo["down"]),
        (&1.into(), &1.into(), &0.into()),
        "{echo}"
    );
    let instance = &echo["instances"][0];
    assert!(instance["calls_per_second"].is_number(), "{echo}");
    assert_eq!(
        (&instance["status"], &instance["routers_ejecting"]),
        (&"passing".into(), &0.into()),
        "{echo}"
    );
}
