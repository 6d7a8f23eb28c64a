//! Two of our own connections, client and server, with random calls, random credit and random network pieces between
//! them: every byte arrives once and in order, windows hold, and everything ends.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use switchboard_http2::{Config, Connection, ErrorCode, Event, Field, HeadersKind, StreamId};

const REQUEST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "a")];
const RESPONSE: &[(&str, &str)] = &[(":status", "200")];
const TRAILERS: &[(&str, &str)] = &[("grpc-status", "0")];

fn fields<'a>(list: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = Field<'a>> {
    list.iter().map(|(n, v)| Field::new(n.as_bytes(), v.as_bytes()))
}

/// The byte at an offset of a stream's content; differs by stream and direction.
fn byte(stream: StreamId, from_client: bool, offset: usize) -> u8 {
    (stream as usize * 31 + usize::from(from_client) * 17 + offset % 251) as u8
}

/// What one end knows of a stream.
#[derive(Default)]
struct Side {
    sent: usize,
    ended: bool,
    responded: bool,
    received: usize,
    received_end: bool,
    held: u32,
    pending: usize,
}

struct End {
    connection: Connection,
    is_client: bool,
    inbox: Vec<u8>,
    streams: HashMap<StreamId, Side>,
    resets: usize,
}

impl End {
    fn new(connection: Connection, is_client: bool) -> Self {
        Self { connection, is_client, inbox: Vec::new(), streams: HashMap::new(), resets: 0 }
    }

    fn receive(&mut self, rng: &mut StdRng) {
        let mut used = 0;
        loop {
            let step = self.connection.recv(&self.inbox[used..], 0).expect("no connection error");
            if step.consumed == 0 {
                break;
            }
            used += step.consumed;
            match step.event {
                Some(Event::Headers { stream, kind, end_stream, .. }) => {
                    assert!(
                        kind == HeadersKind::Trailers
                            || !self.is_client
                            || self.streams.contains_key(&stream)
                    );
                    let side = self.streams.entry(stream).or_default();
                    assert!(!side.received_end);
                    side.received_end = end_stream;
                }
                Some(Event::Data { stream, data, credit, end_stream, .. }) => {
                    let side = self.streams.get_mut(&stream).expect("a known stream");
                    for (i, got) in data.iter().enumerate() {
                        assert_eq!(*got, byte(stream, !self.is_client, side.received + i));
                    }
                    side.received += data.len();
                    assert!(!side.received_end);
                    side.received_end = end_stream;
                    side.held += credit;
                    if rng.random_bool(0.5) {
                        let credit = std::mem::take(&mut side.held);
                        self.connection.release(stream, credit);
                    }
                }
                Some(Event::Reset { stream, .. }) => {
                    self.streams.remove(&stream).expect("a known stream");
                    self.resets += 1;
                }
                Some(Event::StreamError { reason, .. }) => panic!("{reason}"),
                _ => {}
            }
        }
        self.inbox.drain(..used);
    }

    fn act(&mut self, rng: &mut StdRng, may_open: bool) {
        if self.is_client && may_open && self.connection.available_streams() > 0 {
            let id = self.connection.open(fields(REQUEST), false, 0).expect("available");
            self.streams.insert(id, Side::default());
        }
        let ids: Vec<_> = self.streams.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[rng.random_range(0..ids.len())];
        let side = self.streams.get_mut(&id).expect("listed");
        self.connection.release(id, std::mem::take(&mut side.held));
        if side.ended {
            return;
        }
        if !self.is_client && !side.responded {
            assert!(self.connection.send_headers(id, fields(RESPONSE), false));
            side.responded = true;
        }
        match rng.random_range(0..21) {
            // Shrinks and grows under way.
            20 => self.connection.set_stream_window([100, 3000, 50_000, 200_000][rng.random_range(0..4)]),
            0 if !self.is_client || rng.random_bool(0.5) => {
                assert!(self.connection.send_headers(id, fields(TRAILERS), true));
                side.ended = true;
            }
            1 => {
                self.connection.reset(id, ErrorCode::CANCEL);
                self.streams.remove(&id);
            }
            n => {
                let len = rng.random_range(0..if n < 5 { 5000 } else { 100 });
                let data: Vec<u8> = (0..len).map(|i| byte(id, self.is_client, side.sent + i)).collect();
                side.ended = n == 2;
                side.sent += len;
                side.pending += self.connection.send_data(id, &data, side.ended);
            }
        }
    }

    fn pump(&mut self) {
        self.connection.pump();
        while let Some((id, _, bytes)) = self.connection.poll_sent() {
            if let Some(side) = self.streams.get_mut(&id) {
                side.pending -= bytes;
            }
        }
        for (id, side) in &self.streams {
            assert_eq!(self.connection.pending(*id), side.pending);
        }
    }

    fn give(&mut self, to: &mut End, most: usize) {
        let n = most.min(self.connection.output().len());
        to.inbox.extend_from_slice(&self.connection.output()[..n]);
        self.connection.consume_output(n);
    }
}

fn check(seed: u64) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let config = |rng: &mut StdRng| Config {
        stream_window: [1, 100, 5000, 100_000][rng.random_range(0..4)],
        connection_window: 65_535,
        max_concurrent_streams: rng.random_range(1..20),
        output_high_water: [1, 1000, 100_000][rng.random_range(0..3)],
        header_table_size: [0, 100, 4096, 10_000][rng.random_range(0..4)],
        ..Config::default()
    };
    let mut client = End::new(Connection::client(config(rng)), true);
    let mut server = End::new(Connection::server(config(rng)), false);
    let (mut opened, mut turns) = (0, 0);
    loop {
        turns += 1;
        let busy = turns < 800;
        if busy {
            opened += usize::from(client.connection.available_streams() > 0);
            client.act(rng, true);
            server.act(rng, false);
        } else {
            // The end: every stream is finished by both sides, all credit is given.
            for end in [&mut client, &mut server] {
                for (id, side) in &mut end.streams {
                    end.connection.release(*id, std::mem::take(&mut side.held));
                    if !std::mem::replace(&mut side.ended, true) {
                        if !end.is_client && !side.responded {
                            end.connection.send_headers(*id, fields(RESPONSE), false);
                        }
                        end.connection.send_data(*id, b"", true);
                    }
                }
            }
        }
        client.pump();
        server.pump();
        let most = if busy { rng.random_range(0..3000) } else { usize::MAX };
        client.give(&mut server, most);
        server.give(&mut client, most);
        server.receive(rng);
        client.receive(rng);
        let quiet = [&client, &server].iter().all(|e| e.connection.open_streams() == 0 && e.inbox.is_empty());
        if !busy && quiet && client.connection.buffered_bytes() + server.connection.buffered_bytes() == 0 {
            break;
        }
        assert!(turns < 200_000, "seed {seed}: streams never end");
    }
    assert!(opened > 0);
    for (id, side) in &client.streams {
        let other = &server.streams[id];
        assert_eq!((side.sent, side.received), (other.received, other.sent), "seed {seed}, stream {id}");
        assert!(side.received_end && other.received_end);
    }
}

#[test]
fn random_calls_arrive_whole_and_in_order() {
    for seed in 0..25 {
        check(seed);
    }
}
