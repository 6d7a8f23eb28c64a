//! A million streams on one connection leave nothing behind (complaint 59), and the last identifier is one.

use switchboard_http2::frame::MAX_31;
use switchboard_http2::{Config, Connection, ErrorCode, Event, Field};

const REQUEST: [(&[u8], &[u8]); 4] =
    [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C"), (b"te", b"trailers")];
const RESPONSE: [(&[u8], &[u8]); 2] = [(b":status", b"200"), (b"grpc-status", b"0")];

fn fields<'f>(pairs: &'f [(&'f [u8], &'f [u8])]) -> impl Iterator<Item = Field<'f>> {
    pairs.iter().map(|&(name, value)| Field::new(name, value))
}

/// Moves all output of one end into the other; returns the streams that began there.
fn deliver(from: &mut Connection, to: &mut Connection) -> Vec<u32> {
    let bytes = from.output().to_vec();
    from.consume_output(bytes.len());
    let (mut used, mut begun) = (0, Vec::new());
    loop {
        let step = to.recv(&bytes[used..], 1_000).expect("no connection error");
        if let Some(Event::Headers { stream, .. }) = step.event {
            begun.push(stream);
        }
        if step.consumed == 0 {
            break;
        }
        used += step.consumed;
    }
    assert_eq!(used, bytes.len());
    begun
}

#[test]
fn a_million_streams_leave_nothing_behind() {
    let mut client = Connection::client(Config { max_concurrent_streams: 1_000, ..Config::default() });
    let mut server = Connection::server(Config::default());
    deliver(&mut client, &mut server);
    deliver(&mut server, &mut client);
    deliver(&mut client, &mut server);
    for round in 0..1_000 {
        for _ in 0..1_000 {
            client.open(fields(&REQUEST), true, 0).expect("a stream");
        }
        for stream in deliver(&mut client, &mut server) {
            // One in seven is given up by its client, one in eleven by its server.
            match stream / 2 {
                n if n % 7 == 0 => {}
                n if n % 11 == 0 => server.reset(stream, ErrorCode::CANCEL),
                _ => assert!(server.send_headers(stream, fields(&RESPONSE), true)),
            }
        }
        deliver(&mut server, &mut client);
        for stream in client.unprocessed(0).map(|(stream, _)| stream).collect::<Vec<_>>() {
            client.reset(stream, ErrorCode::CANCEL);
        }
        // Time passes, or so many resets would be a flood.
        let bytes = client.output().to_vec();
        client.consume_output(bytes.len());
        let mut used = 0;
        while let Ok(step) = server.recv(&bytes[used..], 2_000 + round * 1_000)
            && step.consumed > 0
        {
            used += step.consumed;
        }
        assert_eq!(used, bytes.len(), "round {round}");
        assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
        assert_eq!(client.buffered_bytes() + server.buffered_bytes(), 0);
    }
}

#[test]
fn the_last_identifier_is_one() {
    let mut server = Connection::server(Config::default());
    let mut client = Connection::client(Config::default());
    deliver(&mut client, &mut server);
    deliver(&mut server, &mut client);
    deliver(&mut client, &mut server);
    // A client may skip identifiers.
    client.open(fields(&REQUEST), true, 0).expect("a stream");
    let mut first = client.output().to_vec();
    client.consume_output(first.len());
    first[5..9].copy_from_slice(&MAX_31.to_be_bytes());
    let step = server.recv(&first, 1_000).expect("the highest identifier is one");
    assert!(matches!(step.event, Some(Event::Headers { stream: MAX_31, .. })));
    assert!(server.send_headers(MAX_31, fields(&RESPONSE), true));
    assert_eq!(server.open_streams(), 0);
}
