//! What each call is to be: its method, its target, its body, when it begins and whether its client gives up.

use super::{
    World,
    client::End,
    plan::{MS, NEVER, pattern},
};
use switchboard_http2::{Headers, StreamId};

#[derive(Debug)]
pub(super) struct SimCall {
    pub(super) client: usize,
    pub(super) link: usize,
    pub(super) stream: StreamId,
    pub(super) headers: Headers,
    pub(super) idempotent: bool,
    /// It is no gRPC, and neither is its answer.
    pub(super) odd: bool,
    pub(super) body: Vec<u8>,
    pub(super) sent: usize,
    pub(super) request_ended: bool,
    /// When the script goes on, and when the client has enough.
    pub(super) next_us: u64,
    pub(super) cancel_us: u64,
    /// The attempt whose response it is, and what came of it.
    pub(super) attempt: Option<usize>,
    pub(super) got: usize,
    pub(super) end: Option<End>,
}

impl World {
    /// Makes up a call that begins some time from now.
    pub(super) fn plan_call(&mut self) {
        let id = self.calls.len();
        let dice = &mut self.dice;
        let service = match dice.chance(30) {
            true => "zz".to_owned(),
            false => format!("s{}", dice.below(self.plan.services)),
        };
        let size = dice.size(self.plan.body_max);
        let mut body: Vec<u8> = (0..size).map(|at| pattern(id, at)).collect();
        let kind = dice.below(6);
        let path = match kind {
            0 => "/demo.Echo/Call".to_owned(),
            1 => format!("/demo.{}/Call", service.to_uppercase()),
            2 => "/agentplatform.AgentService/ExecuteTask".to_owned(),
            3 => "/agentplatform.AgentService/StreamTask".to_owned(),
            4 => "/agentplatform.AgentService/GetStatus".to_owned(),
            _ => "/agentplatform.TaskWorker/ProcessTask".to_owned(),
        };
        if kind >= 2 {
            // A task belongs to one of the instances, and waits for it if it is full.
            let task = if kind == 5 { format!("t{}", dice.below(5)) } else { String::new() };
            body = message(if kind == 4 { 1 } else { 2 }, &format!("{service}-agent"), &task, &body);
        }
        let mut headers = Headers::new();
        headers.push(b":method", b"POST");
        headers.push(b":scheme", b"http");
        headers.push(b":path", path.as_bytes());
        let odd = dice.chance(self.plan.odd);
        headers.push(b"content-type", if odd { b"text/plain" } else { b"application/grpc" });
        headers.push(b"x-sim-call", id.to_string().as_bytes());
        if kind == 0 {
            let version = if dice.chance(100) { "@v2" } else { "" };
            headers.push(b"x-switchboard-target", format!("{service}-agent{version}").as_bytes());
        }
        if dice.chance(self.plan.deadlines) {
            headers.push(b"grpc-timeout", format!("{}m", dice.span(20_000 * MS) / MS).as_bytes());
        } else if dice.chance(self.plan.odd) {
            headers.push(b"grpc-timeout", b"soon");
        }
        if dice.chance(self.plan.odd) {
            headers.push(b"x-pad", &vec![b'x'; dice.size(30_000)]);
        }
        let next_us = self.now_us + dice.between(0, self.plan.spread_us);
        let cancelled = dice.chance(self.plan.cancels);
        let cancel_us = if cancelled { next_us + dice.span(5_000 * MS) } else { NEVER };
        let idempotent = kind == 4 || self.registry.idempotent.contains(&service);
        self.calls.push(SimCall {
            client: dice.below(self.plan.clients),
            link: usize::MAX,
            stream: 0,
            headers,
            idempotent,
            body,
            sent: 0,
            request_ended: false,
            next_us,
            cancel_us,
            odd,
            attempt: None,
            got: 0,
            end: None,
        });
    }
}

/// A gRPC message with the ID in the field of that number, the task's in the first, and the rest in another.
fn message(field: u8, id: &str, task: &str, rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, text) in [(1, task), (field, id)].into_iter().filter(|(_, text)| !text.is_empty()) {
        body.extend([field << 3 | 2, u8::try_from(text.len()).unwrap()]);
        body.extend(text.as_bytes());
    }
    body.push(15 << 3 | 2);
    let mut length = rest.len();
    while length >= 0x80 {
        body.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend(rest);
    let mut framed = vec![0];
    framed.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    framed.extend(body);
    framed
}
