//! What is sent and what has to come back, made once.

use super::args::{Args, Shape};
use crate::message::Message;
use anyhow::{Context, bail};
use std::{fs, path::Path, rc::Rc};
use switchboard_http2::Headers;

/// Of the request, and of the answer, that a shape is not about.
const REQUEST_BYTES: usize = 93;
const RESPONSE_BYTES: usize = 106;

/// One kind of call.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) headers: Headers,
    /// By agent.
    pub(super) requests: Vec<Rc<Message>>,
    /// The message that is answered, and how often; without one any answer will do.
    pub(super) reply: Option<Message>,
    pub(super) count: u64,
    /// Between two messages; 0: as fast as they are taken.
    pub(super) interval_us: u64,
    /// What comes is not given credit for.
    pub(super) stalls: bool,
    /// Headers per call whose values never repeat.
    unique: Vec<String>,
    /// Calls so far.
    calls: u64,
    /// Those headers, of the latest call.
    pub(super) latest_unique: Headers,
}

impl Plan {
    /// The calls of a shape.
    ///
    /// # Errors
    /// The file of requests cannot be used.
    pub(super) fn of(args: &Args) -> anyhow::Result<Self> {
        let bytes = |default| args.bytes.unwrap_or(default);
        if let (Some(method), Some(file)) = (&args.method, &args.requests) {
            let requests = read_requests(file)?;
            let headers = headers(args, method);
            return Ok(Plan { headers, requests, reply: None, ..Self::new(args, 0, None) });
        }
        Ok(match args.shape {
            Shape::Unary => Self::new(args, bytes(REQUEST_BYTES), None),
            Shape::Upload => Self::new(args, bytes(1_000_000), None),
            Shape::Download => Self::new(args, REQUEST_BYTES, Some((bytes(1_000_000), 1, 0))),
            Shape::Burst => Self::new(args, REQUEST_BYTES, Some((bytes(60), args.messages, 0))),
            Shape::Paced => {
                Self::new(args, REQUEST_BYTES, Some((bytes(60), args.messages, args.interval_us)))
            }
        })
    }

    /// Streams that get one message, and the next one never.
    pub(super) fn idle(args: &Args) -> Self {
        const YEAR_US: u64 = 365 * 86_400 * 1_000_000;
        Self::new(args, REQUEST_BYTES, Some((args.bytes.unwrap_or(60), 2, YEAR_US)))
    }

    /// Streams that nobody reads.
    pub(super) fn stalled(args: &Args) -> Self {
        let reply = Some((args.bytes.unwrap_or(1000), u64::MAX >> 16, 0));
        Plan { stalls: true, ..Self::new(args, REQUEST_BYTES, reply) }
    }

    fn new(args: &Args, request: usize, reply: Option<(usize, u64, u64)>) -> Self {
        let streams = reply.is_some_and(|(_, count, _)| count > 1);
        let streams = streams || args.shape == Shape::Burst || args.shape == Shape::Paced;
        let method = if streams { "StreamTask" } else { "ExecuteTask" };
        let mut headers = headers(args, &format!("/agentplatform.AgentService/{method}"));
        let text = match reply {
            Some((bytes, count, 0)) => Some(format!("{bytes}x{count}")),
            Some((bytes, count, interval_us)) => Some(format!("{bytes}x{count}@{interval_us}")),
            None => None,
        };
        if let Some(text) = text {
            headers.push(b"x-bench-reply", text.as_bytes());
        }
        let (bytes, count, interval_us) = reply.unwrap_or((RESPONSE_BYTES, 1, 0));
        let requests = match args.ids {
            Some(ids) => {
                (0..ids).map(|id| Rc::new(Message::request(&format!("bench-{id}"), request))).collect()
            }
            None => vec![Rc::new(Message::request("bench-agent", request))],
        };
        Plan {
            headers,
            requests,
            reply: Some(if streams { Message::chunk(bytes) } else { Message::response(bytes) }),
            count,
            interval_us,
            stalls: false,
            unique: (0..args.unique_headers).map(|at| format!("x-bench-{at}")).collect(),
            calls: 0,
            latest_unique: Headers::new(),
        }
    }

    /// Begins the next call: its request. Its unique headers are in [`Plan::latest_unique`].
    pub(super) fn next(&mut self) -> Rc<Message> {
        let call = self.calls;
        self.calls += 1;
        if !self.unique.is_empty() {
            self.latest_unique.clear();
            for (at, name) in self.unique.iter().enumerate() {
                let seed = call * self.unique.len() as u64 + at as u64;
                let mut value = [0; 32];
                hex(mix(2 * seed), &mut value[..16]);
                hex(mix(2 * seed + 1), &mut value[16..]);
                self.latest_unique.push(name.as_bytes(), &value);
            }
        }
        let at = if self.requests.len() == 1 { 0 } else { (call % self.requests.len() as u64) as usize };
        self.requests[at].clone()
    }
}

/// What every call of a method says.
fn headers(args: &Args, path: &str) -> Headers {
    let mut headers = Headers::new();
    headers.push(b":method", b"POST");
    headers.push(b":scheme", if args.tls_ca.is_some() { b"https" } else { b"http" });
    headers.push(b":path", path.as_bytes());
    let authority = if args.tls_ca.is_some() { args.tls_name.clone() } else { args.target.to_string() };
    headers.push(b":authority", authority.as_bytes());
    headers.push(b"te", b"trailers");
    headers.push(b"content-type", b"application/grpc");
    headers.push(b"user-agent", b"switchboard-bench");
    headers
}

/// Messages, each behind its length.
fn read_requests(file: &Path) -> anyhow::Result<Vec<Rc<Message>>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (mut rest, mut requests) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let length = prost::decode_length_delimiter(&mut rest)?;
        let Some((message, after)) = rest.split_at_checked(length) else {
            bail!("{} ends within a message", file.display());
        };
        requests.push(Rc::new(Message::of(message)));
        rest = after;
    }
    match requests.is_empty() {
        true => bail!("{} has no message", file.display()),
        false => Ok(requests),
    }
}

/// Spreads a counter over all bits, without two counts giving one value (splitmix64).
fn mix(count: u64) -> u64 {
    let mut z = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hex(value: u64, out: &mut [u8]) {
    for (at, digit) in out.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(value >> (60 - 4 * at)) as usize & 15];
    }
}
