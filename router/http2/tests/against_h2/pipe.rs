//! Drives one of our connections over an async pipe: write all, read some, tell the application, again.

use std::time::{Duration, Instant};

use switchboard_http2::{Connection, ErrorCode, Event, Field, HeadersKind, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// An event that owns what it tells.
#[derive(Debug)]
pub(crate) enum Seen {
    Headers { stream: StreamId, headers: Vec<(String, String)>, kind: HeadersKind, end: bool },
    Data { stream: StreamId, data: Vec<u8>, credit: u32, end: bool },
    Reset { stream: StreamId, code: ErrorCode },
    GoAway { code: ErrorCode },
    Other,
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        match event {
            Event::Headers { stream, headers, kind, end_stream, .. } => Seen::Headers {
                stream,
                headers: headers.iter().map(|f| (text(f.name), text(f.value))).collect(),
                kind,
                end: end_stream,
            },
            Event::Data { stream, data, credit, end_stream, .. } => {
                Seen::Data { stream, data: data.to_vec(), credit, end: end_stream }
            }
            Event::Reset { stream, code, .. } => Seen::Reset { stream, code },
            Event::GoAway { code, .. } => Seen::GoAway { code },
            Event::StreamError { reason, .. } => panic!("{reason}"),
            Event::Settings | Event::PingAck { .. } => Seen::Other,
        }
    }
}

/// Runs until the application returns true on a turn (with `None`) and all output is written, or the peer hangs up.
/// Each event is one call with `Some`.
pub(crate) async fn drive(
    mut connection: Connection,
    mut io: DuplexStream,
    mut app: impl FnMut(&mut Connection, Option<Seen>) -> bool,
) {
    let start = Instant::now();
    let mut input = Vec::new();
    loop {
        let done = app(&mut connection, None);
        connection.pump();
        while !connection.output().is_empty() {
            let Ok(n) = io.write(connection.output()).await else { return };
            connection.consume_output(n);
            connection.pump();
        }
        if done || connection.is_finished() {
            return;
        }
        let read = tokio::time::timeout(Duration::from_secs(20), io.read_buf(&mut input));
        match read.await.expect("the peer is silent") {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let mut used = 0;
        loop {
            let now_ms = start.elapsed().as_millis() as u64;
            let step = connection.recv(&input[used..], now_ms).expect("no connection error");
            if step.consumed == 0 {
                break;
            }
            used += step.consumed;
            if let Some(event) = step.event.map(Seen::from) {
                app(&mut connection, Some(event));
            }
        }
        input.drain(..used);
    }
}

pub(crate) fn fields<'a>(list: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = Field<'a>> {
    list.iter().map(|(n, v)| Field::new(n.as_bytes(), v.as_bytes()))
}

/// Content that shows lost, doubled or swapped bytes.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 ^ (n / 251) as u8).collect()
}
