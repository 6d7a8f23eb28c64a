//! What the policy adds to a call, measured: `cargo test --release -p switchboard-router --lib policy::cost -- --ignored
//! --nocapture`. No test asserts a time.

use super::PolicySnapshot;
use crate::{
    config::{Config, DEFAULT_ADMIN, DEFAULT_GRPC},
    link::Update,
    observe::Metrics,
    plane::Plane,
    route::{RouteTable, Target},
};
use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Instant};
use switchboard_http2::Headers;
use switchboard_policy::Mode;

const CALLS: u32 = 1_000_000;

/// The headers of a call from a grpc library.
fn request(authorization: &str) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/demo.Any/Thing"),
        (":authority", "router:50051"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "grpc-c++/1.62.0 grpc-c/39.0.0 (linux; chttp2)"),
        ("x-switchboard-target", "echo-agent"),
        ("x-request-id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("authorization", authorization),
    ] {
        headers.push(name.as_bytes(), value.as_bytes());
    }
    headers
}

/// Nanoseconds per call for its headers, and for the policy's decision on them.
fn measure(auth: bool, policy: &str, dir: &Path) -> u128 {
    let mut config = Config::new(DEFAULT_GRPC, DEFAULT_ADMIN, switchboard_registry::Config::default());
    let token = format!("Bearer {}", "e".repeat(700));
    if auth {
        let entry =
            format!("[[tokens]]\ntoken = \"{}\"\nname = \"anna\"\nroles = [\"caller\"]\n", &token[7..]);
        std::fs::write(dir.join("tokens.toml"), entry).unwrap();
        (config.auth, config.auth_tokens) = (Mode::Any, Some(dir.join("tokens.toml")));
    }
    if !policy.is_empty() {
        std::fs::write(dir.join("policy.toml"), policy).unwrap();
        config.policy = Some(dir.join("policy.toml"));
    }
    let snapshot = Arc::new(PolicySnapshot::load(&config, None, None).unwrap());
    let routes = RouteTable::from_descriptor_set(switchboard_proto::DESCRIPTOR_SET).unwrap();
    let mut plane = Plane::new(Arc::new(config), Arc::new(routes), Arc::new(Metrics::default()), 1);
    plane.update(Update::Policy(snapshot));
    let conn = plane.accept(Ipv4Addr::LOCALHOST.into()).unwrap();
    let headers = request(&token);
    let target = Target::Id { id: "echo-agent".into(), service: "agent-echo".into(), version: None };
    let began = Instant::now();
    for _ in 0..CALLS {
        let key = plane.new_call((conn, 1), &headers, true);
        plane.authenticate(key).unwrap();
        plane.calls[key].target = Some(target.clone());
        plane.authorize(key).unwrap();
        let call = plane.calls.remove(key);
        plane.give_headers(call.request);
    }
    began.elapsed().as_nanos() / u128::from(CALLS)
}

#[test]
#[ignore = "measures; see the module"]
fn the_cost_of_a_known_token() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "[[rules]]\nallow = [\"role:planner\"]\nids = [\"*-tool\"]\n[[rules]]\ndeny = [\"*\"]\nmethods = [\"/demo.Store/Erase\"]\n";
    let limits = "[limits.principal]\nrate = \"1000000/s\"\nconcurrency = 1000\n";
    for round in 0..3 {
        let off = measure(false, "", dir.path());
        let token = measure(true, "", dir.path());
        let ruled = measure(true, rules, dir.path());
        let limited = measure(true, limits, dir.path());
        eprintln!(
            "round {round}: off {off} ns, token of 700 bytes {token} ns, with rules {ruled} ns, with limits {limited} ns"
        );
    }
}
