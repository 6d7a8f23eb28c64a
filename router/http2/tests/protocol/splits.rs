//! However the network cuts the bytes, the same events and the same answers come of them.

use proptest::collection::vec;
use proptest::prelude::*;
use switchboard_http2::frame;
use switchboard_http2::{Config, Connection, ConnectionError, ErrorCode};

use crate::script::*;

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = (0_u32..6).prop_map(|n| n * 2 + 1);
    prop_oneof![
        8 => (stream.clone(), any::<bool>()).prop_map(|(s, end)| headers(s, REQUEST, end)),
        4 => (stream.clone(), any::<bool>()).prop_map(|(s, end)| headers(s, RESPONSE, end)),
        2 => stream.clone().prop_map(|s| headers(s, TRAILERS, true)),
        2 => (stream.clone(), 0..60_usize).prop_map(|(s, cut)| {
            let block = block(REQUEST);
            let cut = cut.min(block.len());
            build(|out| {
                frame::write_headers(out, s, &block[..cut], false, false);
                frame::write_continuation(out, s, &block[cut..], true);
            })
        }),
        8 => (stream.clone(), vec(any::<u8>(), 0..300), any::<bool>()).prop_map(|(s, d, end)| data(s, &d, end)),
        1 => (stream.clone(), any::<u32>()).prop_map(|(s, code)| rst_stream(s, ErrorCode(code))),
        2 => (stream.clone(), 0..5000_u32).prop_map(|(s, n)| window_update(s, n)),
        2 => (1..5000_u32).prop_map(|n| window_update(0, n)),
        1 => (1..7_u16, 0..40_000_u32).prop_map(|(id, v)| settings(&[(id, v)])),
        1 => any::<[u8; 8]>().prop_map(|p| build(|out| frame::write_ping(out, p, false))),
        1 => (any::<u8>(), any::<u8>(), stream, vec(any::<u8>(), 0..40))
            .prop_map(|(kind, flags, s, payload)| raw(kind, flags, s, &payload)),
    ]
}

fn connection(server: bool) -> Connection {
    let config = Config { stream_window: 2000, ..Config::default() };
    if server {
        return Connection::server(config);
    }
    let mut client = Connection::client(config);
    client.recv(&settings(&[]), 0).expect("no error");
    for key in 0..4 {
        client.open(fields(REQUEST), key % 2 == 0, key).expect("a stream");
    }
    client
}

/// All events, the output, and how it ended.
fn run(server: bool, pieces: &[&[u8]]) -> (Vec<Seen>, Vec<u8>, Option<ConnectionError>) {
    let mut connection = connection(server);
    let (mut seen, mut buffer) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let consumed = match connection.recv(&buffer, 0) {
                Ok(step) => {
                    seen.extend(step.event.map(Seen::from));
                    step.consumed
                }
                Err(error) => return (seen, connection.output().to_vec(), Some(error)),
            };
            if consumed == 0 {
                break;
            }
            buffer.drain(..consumed);
        }
    }
    (seen, connection.output().to_vec(), None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_events(
        server in any::<bool>(),
        frames in vec(any_frame(), 1..25),
        mut cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut bytes = Vec::new();
        if server {
            bytes.extend_from_slice(frame::PREFACE);
            bytes.extend(settings(&[]));
        }
        bytes.extend(frames.concat());
        let mut cuts: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len())).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts {
            pieces.push(&bytes[start..cut]);
            start = cut;
        }
        prop_assert_eq!(run(server, &[&bytes]), run(server, &pieces));
    }
}
