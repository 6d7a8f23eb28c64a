//! What is called and by whom: header lists as grpc libraries send them, messages of the contract, a directory.

use crate::{
    directory::{Directory, Endpoint, Load, Service, Strategy, Usage},
    route::RouteTable,
};
use prost::Message;
use std::{net::Ipv4Addr, sync::Arc, thread};
use switchboard_http2::Headers;
use switchboard_proto::agentplatform::{TaskRequest, TaskResponse};

/// The ID that is called, and its service.
const ID: &str = "bench-agent";
pub(super) const SERVICE: &str = "agent-bench";
/// Services in the directory: that one, and `other-N-agent` from 1 on.
pub(super) const SERVICES: usize = 1_000;

/// What a client in C++ or Python sends; `unique` numbers the call whose headers no other call has.
pub(super) fn request_headers(path: &str, unique: Option<u64>) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "router:50051"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-python/1.62.0 grpc-c/39.0.0 (linux; chttp2)"),
        ("grpc-accept-encoding", "identity, deflate, gzip"),
    ] {
        headers.push(name.as_bytes(), value.as_bytes());
    }
    if let Some(number) = unique {
        let [a, b] = [number, !number].map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        headers.push(b"x-request-id", format!("{a:016x}{b:016x}").as_bytes());
        headers.push(b"traceparent", format!("00-{b:016x}{a:016x}-{a:016x}-01").as_bytes());
        headers.push(b"x-session-token", format!("{a:016x}").as_bytes());
    }
    headers
}

/// What the instance gets of them.
pub(super) fn forwarded_headers(request_id: &str) -> Headers {
    let mut headers = request_headers(EXECUTE_TASK, None);
    headers.push(b"x-request-id", request_id.as_bytes());
    headers.push(b"grpc-timeout", b"299995m");
    headers
}

pub(super) const EXECUTE_TASK: &str = "/agentplatform.AgentService/ExecuteTask";
pub(super) const STREAM_TASK: &str = "/agentplatform.AgentService/StreamTask";

pub(super) fn response_headers() -> Headers {
    let mut headers = Headers::new();
    headers.push(b":status", b"200");
    headers.push(b"content-type", b"application/grpc");
    headers
}

pub(super) fn trailers() -> Headers {
    let mut headers = Headers::new();
    headers.push(b"grpc-status", b"0");
    headers
}

/// A request to [`ID`] of that many bytes, with its gRPC prefix.
pub(super) fn request(bytes: usize) -> Vec<u8> {
    let task = |input: usize| TaskRequest {
        task_id: "0b9e6a0c-6c0d-4c5e-9f57-000000000001".into(),
        agent_id: ID.into(),
        input: "x".repeat(input),
        ..TaskRequest::default()
    };
    framed(bytes, |input| task(input).encode_to_vec())
}

/// An answer of that many bytes, with its gRPC prefix.
pub(super) fn response(bytes: usize) -> Vec<u8> {
    let task = |output: usize| TaskResponse {
        task_id: "0b9e6a0c-6c0d-4c5e-9f57-000000000001".into(),
        output: "y".repeat(output),
        success: true,
        ..TaskResponse::default()
    };
    framed(bytes, |output| task(output).encode_to_vec())
}

/// Pads a message to that length and puts its prefix before it.
fn framed(bytes: usize, encode: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    // The length of the padding's length may vary by some bytes.
    let missing = |padding: usize| bytes as i64 - encode(padding).len() as i64;
    let mut padding = 1_usize;
    for _ in 0..4 {
        padding = padding.saturating_add_signed(missing(padding) as isize);
    }
    let message = encode(padding);
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// The contract's routes. Made on a thread of its own, whose memory no other thread uses: maps in random order are read
/// here, and what they leave behind would make every run place its buffers otherwise, which shows in what copies cost.
pub(super) fn routes() -> RouteTable {
    let made = thread::spawn(|| RouteTable::from_descriptor_set(switchboard_proto::DESCRIPTOR_SET)).join();
    match made {
        Ok(routes) => routes.expect("the contract's own routes are right"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// [`SERVICE`] with one instance among others.
pub(super) fn directory() -> Directory {
    let mut directory = Directory::default();
    let others = (1..SERVICES).map(|number| format!("agent-other-{number}"));
    for name in others.chain([SERVICE.to_owned()]) {
        directory.services.insert(name.as_str().into(), Arc::new(service(&name, 1)));
    }
    directory
}

/// A service with that many instances, all in use and well.
pub(super) fn service(name: &str, instances: u8) -> Service {
    let name: Arc<str> = name.into();
    let endpoint = |number: u8| {
        let load = Load::default();
        for answer in 0..100 {
            load.responded(1_000 + 10 * u64::from(number) + answer % 7, answer);
        }
        Arc::new(Endpoint {
            instance: format!("{name}-{number}").into(),
            service: name.clone(),
            addr: (Ipv4Addr::LOCALHOST, 10_000 + u16::from(number)).into(),
            version: None,
            capacity: 0,
            weight: 1,
            load: Arc::new(load),
        })
    };
    let endpoints: Vec<Arc<Endpoint>> = (0..instances).map(endpoint).collect();
    Service {
        known: endpoints.len(),
        endpoints,
        last_seen: None,
        fresh_until_ms: u64::MAX,
        uniform: true,
        strategy: Strategy::P2c,
        idempotent: false,
        limits: None,
        hedge: None,
        usage: Arc::new(Usage::default()),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_length_that_was_asked_for() {
        for bytes in [93, 106, 300, 1_000_000] {
            assert_eq!((request(bytes).len(), response(bytes).len()), (5 + bytes, 5 + bytes));
        }
    }
}
