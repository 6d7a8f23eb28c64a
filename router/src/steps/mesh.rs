//! A [`Plane`] between clients and an instance that send what was made beforehand, driven as `worker.rs` does it.
//!
//! The peers read just enough of what they get to go on: which streams begin and end, and how much credit to give. What
//! they cost is a few per cent of what is measured.

use super::{
    feed::{End, Feed, Part},
    fixture,
};
use crate::{
    config::{Config, DEFAULT_ADMIN, DEFAULT_GRPC},
    link::Update,
    observe::Metrics,
    plane::{Command, ConnKey, Plane},
};
use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use switchboard_http2::frame::{self, FrameHeader, HEADER_LEN, PREFACE, flag, kind, setting};

/// Largest read, as in `worker.rs`.
const READ_BYTES: usize = 256 * 1024;
/// How often counts are merged and memory is measured, likewise.
const MERGE_MS: u64 = 100;
/// DATA that a peer gets before it gives the connection's credit back: half of [`WINDOW`].
const CREDIT_BYTES: u32 = WINDOW / 2;
/// The connection's window of a peer.
const WINDOW: u32 = 16 << 20;
/// The stream's: as much as a call of these steps needs, so that no peer has to give it back.
const STREAM_WINDOW: u32 = 2 << 20;
/// Payload of a full frame.
const FRAME_BYTES: usize = 16 * 1024;

/// What goes through the plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    path: &'static str,
    /// Bytes of the request message, and of each response message.
    request: usize,
    response: usize,
    /// Messages of a response.
    messages: usize,
    /// Iterations that one call counts as.
    iterations: u64,
    /// Every call has headers that no other has.
    unique: bool,
    clients: usize,
    /// Calls that come with one read.
    lot: usize,
    /// Calls in flight, when others come.
    in_flight: usize,
}

impl Shape {
    pub(super) const CALL: Shape = Shape {
        path: fixture::EXECUTE_TASK,
        request: 93,
        response: 106,
        messages: 1,
        iterations: 1,
        unique: false,
        clients: 8,
        lot: 16,
        in_flight: 256,
    };
    pub(super) const CALL_UNIQUE: Shape = Shape { unique: true, ..Shape::CALL };
    pub(super) const CALL_ALONE: Shape = Shape { clients: 1, lot: 1, in_flight: 0, ..Shape::CALL };
    pub(super) const MESSAGES: Shape = Shape {
        path: fixture::STREAM_TASK,
        response: 60,
        messages: 100,
        iterations: 100,
        lot: 8,
        in_flight: 64,
        ..Shape::CALL
    };
    pub(super) const UPLOAD: Shape = Shape {
        request: 64 * FRAME_BYTES - 5,
        iterations: 64,
        clients: 4,
        lot: 1,
        in_flight: 4,
        ..Shape::CALL
    };
    pub(super) const DOWNLOAD: Shape = Shape { request: 93, response: 64 * FRAME_BYTES - 5, ..Shape::UPLOAD };

    pub(super) fn iterations_per_round(&self) -> u64 {
        self.lot as u64 * self.iterations
    }

    fn requests(&self) -> Feed {
        let body = fixture::request(self.request);
        // Enough that no value is in a table any more when it comes again.
        let lots = if self.unique { 512 / self.lot } else { 1 };
        Feed::new(lots, self.lot, |number| {
            let headers = fixture::request_headers(self.path, self.unique.then_some(number as u64));
            let mut parts = vec![Part::Headers(headers, false)];
            parts.extend(data(&body, true));
            parts
        })
    }

    fn responses(&self) -> Feed {
        let body = fixture::response(self.response);
        Feed::new(1, self.lot, |_| {
            let mut parts = vec![Part::Headers(fixture::response_headers(), false)];
            (0..self.messages).for_each(|_| parts.extend(data(&body, false)));
            parts.push(Part::Headers(fixture::trailers(), true));
            parts
        })
    }
}

fn data(body: &[u8], end: End) -> impl Iterator<Item = Part> {
    let frames = body.chunks(FRAME_BYTES);
    let last = frames.len() - 1;
    frames.enumerate().map(move |(index, data)| Part::Data(data.to_vec(), end && index == last))
}

/// The far end of one of the plane's connections.
#[derive(Debug, Default)]
struct Peer {
    is_client: bool,
    /// Lots that it sent.
    sent: usize,
    /// A client's next stream.
    next_stream: u32,
    /// An instance's streams that are not answered.
    open: VecDeque<u32>,
    /// DATA that it got and gave no credit for.
    uncredited: u32,
    /// Got the preface.
    begun: bool,
}

pub(super) struct Mesh {
    plane: Plane,
    shape: Shape,
    now_us: u64,
    merge_at_ms: u64,
    /// By the plane's key.
    peers: Vec<Peer>,
    clients: Vec<ConnKey>,
    instances: Vec<ConnKey>,
    /// Whose turn it is.
    next_client: usize,
    next_instance: usize,
    requests: Feed,
    responses: Feed,
    in_flight: usize,
    /// Calls that were sent, and that were answered to a client.
    calls: u64,
    answered: u64,
}

impl Mesh {
    /// Everything is warm: every connection has carried calls, and every lot was sent once.
    pub(super) fn new(shape: Shape) -> Self {
        let config = Config {
            workers: 1,
            // A bench may go on for longer than that.
            connection_age: Duration::ZERO,
            ..Config::new(DEFAULT_GRPC, DEFAULT_ADMIN, switchboard_registry::Config::default())
        };
        let routes = Arc::new(fixture::routes());
        let plane = Plane::new(Arc::new(config), routes, Arc::new(Metrics::default()), 1);
        let mut mesh = Mesh {
            plane,
            shape,
            now_us: 1_000_000,
            merge_at_ms: 0,
            peers: Vec::new(),
            clients: Vec::new(),
            instances: Vec::new(),
            next_client: 0,
            next_instance: 0,
            requests: shape.requests(),
            responses: shape.responses(),
            in_flight: 0,
            calls: 0,
            answered: 0,
        };
        mesh.begin_turn();
        mesh.plane.update(Update::Snapshot(Arc::new(fixture::directory())));
        for _ in 0..shape.clients {
            let key = mesh.plane.accept(Ipv4Addr::LOCALHOST.into()).expect("there is room for a client");
            mesh.clients.push(key);
            mesh.connect(key, true);
        }
        mesh.end_turn();
        let rounds = 64 + 2 * shape.clients * mesh.requests.len();
        (0..rounds).for_each(|_| mesh.round());
        mesh.check();
        mesh
    }

    /// What has to hold between rounds.
    fn check(&self) {
        let in_flight = self.plane.metrics.calls_in_flight.load(Relaxed);
        let (calls, answered) = (self.calls, self.answered);
        assert_eq!(calls - answered, self.in_flight as u64, "{answered} of {calls} calls were answered");
        assert_eq!(in_flight, self.in_flight as u64, "the plane has another number of calls in flight");
    }

    /// A lot of calls comes from one client; as many are answered, those that have been in flight for longest. Never inlined,
    /// so that a profiler can be told to begin here.
    #[inline(never)]
    pub(super) fn round(&mut self) {
        self.begin_turn();
        self.send_requests();
        if self.in_flight > self.shape.in_flight {
            if self.shape.in_flight == 0 {
                self.end_turn();
                self.begin_turn();
            }
            self.send_responses();
        }
        self.end_turn();
    }

    fn begin_turn(&mut self) {
        // About as long as it takes.
        self.now_us += 2 * self.shape.lot as u64;
        self.plane.set_now(self.now_us);
    }

    fn end_turn(&mut self) {
        self.plane.tick();
        self.settle();
        let merge_due = self.plane.now_ms >= self.merge_at_ms;
        if merge_due || self.plane.is_measure_due() {
            self.plane.relieve_pressure();
            self.settle();
        }
        if merge_due {
            let metrics = self.plane.metrics.clone();
            self.plane.recorder.merge(&metrics);
            self.merge_at_ms = self.plane.now_ms + MERGE_MS;
        }
        std::hint::black_box(self.plane.next_deadline());
    }

    fn send_requests(&mut self) {
        let key = self.clients[self.next_client];
        self.next_client = (self.next_client + 1) % self.clients.len();
        let peer = &mut self.peers[key];
        let lot = self.requests.lot(peer.sent);
        let first = peer.next_stream;
        lot.address(|message| first + 2 * message as u32);
        peer.next_stream += 2 * self.shape.lot as u32;
        peer.sent += 1;
        self.in_flight += self.shape.lot;
        self.calls += self.shape.lot as u64;
        let bytes = std::mem::take(&mut lot.bytes);
        let sent = peer.sent - 1;
        self.feed(key, &bytes);
        self.requests.lot(sent).bytes = bytes;
    }

    fn send_responses(&mut self) {
        for _ in 0..self.instances.len() {
            let key = self.instances[self.next_instance];
            self.next_instance = (self.next_instance + 1) % self.instances.len();
            let peer = &mut self.peers[key];
            if peer.open.len() < self.shape.lot {
                continue;
            }
            let lot = self.responses.lot(peer.sent);
            lot.address(|message| peer.open[message]);
            peer.open.drain(..self.shape.lot);
            peer.sent += 1;
            self.in_flight -= self.shape.lot;
            let bytes = std::mem::take(&mut lot.bytes);
            let sent = peer.sent - 1;
            self.feed(key, &bytes);
            self.responses.lot(sent).bytes = bytes;
            return;
        }
        panic!("no connection has {} calls to answer", self.shape.lot);
    }

    /// Has the plane read the bytes, in turns if they are many.
    fn feed(&mut self, key: ConnKey, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let end = bytes.len().min(at + READ_BYTES);
            let used = self.plane.received(key, &bytes[at..end]).bytes;
            self.plane.count_read(key, used);
            self.run_commands();
            at += used;
            if at < bytes.len() {
                self.end_turn();
                self.begin_turn();
            }
        }
    }

    /// A peer sends what comes first.
    fn connect(&mut self, key: ConnKey, is_client: bool) {
        if self.peers.len() <= key {
            self.peers.resize_with(key + 1, Peer::default);
        }
        self.peers[key] = Peer { is_client, next_stream: 1, ..Peer::default() };
        let mut bytes = if is_client { PREFACE.to_vec() } else { Vec::new() };
        frame::write_settings(&mut bytes, &[(setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW)]);
        frame::write_settings_ack(&mut bytes);
        frame::write_window_update(&mut bytes, 0, WINDOW - 65_535);
        self.feed(key, &bytes);
    }

    fn settle(&mut self) {
        loop {
            self.run_commands();
            let Some(key) = self.plane.next_dirty() else { break };
            self.write(key);
        }
    }

    fn run_commands(&mut self) {
        loop {
            let commands = self.plane.commands();
            if commands.is_empty() {
                return;
            }
            for command in commands {
                match command {
                    Command::Connect { conn, .. } => {
                        self.instances.push(conn);
                        self.connect(conn, false);
                    }
                    other => panic!("nothing of the kind is expected: {other:?}"),
                }
            }
        }
    }

    /// Hands all output of a connection to its peer.
    fn write(&mut self, key: ConnKey) {
        loop {
            self.plane.pump(key);
            let output = self.plane.output(key);
            if output.is_empty() {
                break;
            }
            let peer = &mut self.peers[key];
            let ended = peer.read(output);
            let bytes = output.len();
            self.answered += ended;
            self.plane.written(key, bytes);
        }
        assert!(!self.plane.is_done(key), "the plane ended connection {key}");
        let peer = &mut self.peers[key];
        if peer.uncredited >= CREDIT_BYTES {
            let credit = std::mem::take(&mut peer.uncredited);
            let mut bytes = Vec::with_capacity(HEADER_LEN + 4);
            frame::write_window_update(&mut bytes, 0, credit);
            self.plane.received(key, &bytes);
        }
    }
}

impl Peer {
    /// Notes the streams that begin; returns how many end.
    fn read(&mut self, mut output: &[u8]) -> u64 {
        if !self.is_client && !self.begun {
            output = output.strip_prefix(&PREFACE[..]).unwrap_or(output);
            self.begun = true;
        }
        let mut ended = 0;
        while let Some(header) = FrameHeader::parse(output) {
            match (header.kind, self.is_client) {
                (kind::HEADERS, false) => self.open.push_back(header.stream),
                (kind::DATA, _) => self.uncredited += header.length as u32,
                (kind::HEADERS, true) if header.has(flag::END_STREAM) => ended += 1,
                (kind::RST_STREAM | kind::GOAWAY, _) => panic!("the plane gave up: {header:?}"),
                _ => {}
            }
            output = &output[HEADER_LEN + header.length..];
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_every_shape_are_answered_with_all_their_bytes() {
        for shape in [
            Shape::CALL,
            Shape::CALL_UNIQUE,
            Shape::CALL_ALONE,
            Shape::MESSAGES,
            Shape::UPLOAD,
            Shape::DOWNLOAD,
        ] {
            let mut mesh = Mesh::new(shape);
            let counters = |mesh: &Mesh| {
                let metrics = &mesh.plane.metrics;
                [&metrics.upstream_written_bytes_total, &metrics.downstream_written_bytes_total]
                    .map(|counter| counter.load(Relaxed) as usize)
            };
            let (before, calls) = (counters(&mesh), mesh.calls);
            (0..32).for_each(|_| mesh.round());
            mesh.check();
            let after = counters(&mesh);
            let calls = (mesh.calls - calls) as usize;
            assert_eq!(calls, 32 * shape.lot);
            assert!(after[0] - before[0] >= calls * shape.request, "{shape:?}");
            assert!(after[1] - before[1] >= calls * shape.messages * shape.response, "{shape:?}");
            let metrics = mesh.plane.metrics.clone();
            mesh.plane.recorder.merge(&metrics);
            let mut text = String::new();
            metrics.render(&mut text);
            assert!(!text.contains("switchboard_call_failures_total{"), "{shape:?}: {text}");
        }
    }
}
