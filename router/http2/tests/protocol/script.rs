//! The scripted peer: it holds the connection under test, feeds it frames and reads back what it wrote.

use switchboard_http2::frame::{self, FrameHeader, HEADER_LEN, flag, kind};
use switchboard_http2::hpack::Decoder;
use switchboard_http2::{
    Config, Connection, ConnectionError, ErrorCode, Event, Field, Headers, HeadersKind, StreamId,
};

/// An event that owns what it tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Headers { stream: StreamId, key: usize, headers: Headers, kind: HeadersKind, end: bool },
    Data { stream: StreamId, data: Vec<u8>, credit: u32, end: bool },
    Reset { stream: StreamId, code: ErrorCode },
    StreamError { stream: StreamId, code: ErrorCode },
    Settings,
    GoAway { last: StreamId, code: ErrorCode, debug: Vec<u8> },
    PingAck([u8; 8]),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Headers { stream, key, headers, kind, end_stream } => {
                Seen::Headers { stream, key, headers: headers.clone(), kind, end: end_stream }
            }
            Event::Data { stream, data, credit, end_stream, .. } => {
                Seen::Data { stream, data: data.to_vec(), credit, end: end_stream }
            }
            Event::Reset { stream, code, .. } => Seen::Reset { stream, code },
            Event::StreamError { stream, code, .. } => Seen::StreamError { stream, code },
            Event::Settings => Seen::Settings,
            Event::GoAway { last_stream, code, debug } => {
                Seen::GoAway { last: last_stream, code, debug: debug.to_vec() }
            }
            Event::PingAck { payload } => Seen::PingAck(payload),
        }
    }
}

/// A frame that the connection under test wrote.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: StreamId,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn u32(&self) -> u32 {
        u32::from_be_bytes(self.payload[self.payload.len() - 4..].try_into().expect("four bytes"))
    }

    pub(crate) fn end_stream(&self) -> bool {
        self.flags & flag::END_STREAM != 0
    }
}

pub(crate) struct Script {
    pub(crate) connection: Connection,
    pub(crate) now_ms: u64,
    pub(crate) decoder: Decoder,
}

pub(crate) const REQUEST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/C"),
    (":authority", "mesh"),
    ("te", "trailers"),
];
pub(crate) const RESPONSE: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/grpc")];
pub(crate) const TRAILERS: &[(&str, &str)] = &[("grpc-status", "0"), ("grpc-message", "fine")];

impl Script {
    /// The connection is the server; handshake done, output read.
    pub(crate) fn against_server() -> Self {
        Self::against_server_with(Config::default())
    }

    pub(crate) fn against_server_with(config: Config) -> Self {
        let mut script = Self::fresh(Connection::server(config));
        script.ok(frame::PREFACE);
        script.shake_hands();
        script
    }

    /// The connection is the client; handshake done, output read.
    pub(crate) fn against_client() -> Self {
        Self::against_client_with(Config::default())
    }

    pub(crate) fn against_client_with(config: Config) -> Self {
        let mut script = Self::fresh(Connection::client(config));
        assert!(script.connection.output().starts_with(frame::PREFACE));
        script.connection.consume_output(frame::PREFACE.len());
        script.shake_hands();
        script
    }

    pub(crate) fn fresh(connection: Connection) -> Self {
        Self { connection, now_ms: 1_000_000, decoder: Decoder::new(4096) }
    }

    fn shake_hands(&mut self) {
        assert_eq!(self.ok(&build(|out| frame::write_settings(out, &[]))), [Seen::Settings]);
        self.ok(&build(frame::write_settings_ack));
        let frames = self.frames();
        assert_eq!(frames[0].kind, kind::SETTINGS);
        assert!(frames.iter().any(|f| f.kind == kind::SETTINGS && f.flags == flag::ACK));
    }

    /// Feeds bytes; returns the events until all are consumed or more are needed.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Seen>, ConnectionError> {
        let mut seen = Vec::new();
        loop {
            let step = self.connection.recv(bytes, self.now_ms)?;
            let consumed = step.consumed;
            seen.extend(step.event.map(Seen::from));
            if consumed == 0 {
                return Ok(seen);
            }
            bytes = &bytes[consumed..];
        }
    }

    #[track_caller]
    pub(crate) fn ok(&mut self, bytes: &[u8]) -> Vec<Seen> {
        self.feed(bytes).expect("no connection error")
    }

    /// Feeds bytes that end the connection: the code, a GOAWAY with it as the last frame, and the same error ever after.
    #[track_caller]
    pub(crate) fn fails(&mut self, bytes: &[u8], code: ErrorCode) {
        let error = self.feed(bytes).expect_err("a connection error");
        assert_eq!(error.code, code, "{error}");
        assert_eq!(self.connection.recv(b"", self.now_ms).expect_err("errors are final"), error);
        assert!(self.connection.is_finished());
        let last = self.frames().pop().expect("a GOAWAY");
        assert_eq!(last.kind, kind::GOAWAY);
        assert_eq!(last.payload[4..8], code.0.to_be_bytes());
    }

    /// Feeds bytes that end one stream only: RST_STREAM with the code, and the connection answers a PING.
    #[track_caller]
    pub(crate) fn resets(&mut self, bytes: &[u8], stream: StreamId, code: ErrorCode) -> Vec<Seen> {
        let seen = self.ok(bytes);
        let frames = self.frames();
        let reset = frames.iter().find(|f| f.kind == kind::RST_STREAM).expect("a RST_STREAM");
        assert_eq!((reset.stream, reset.u32()), (stream, code.0));
        assert!(!self.connection.contains(stream));
        self.is_alive();
        seen
    }

    /// Feeds bytes that change nothing: no event, no frame.
    #[track_caller]
    pub(crate) fn ignores(&mut self, bytes: &[u8]) {
        assert_eq!(self.ok(bytes), []);
        assert_eq!(self.frames(), []);
    }

    #[track_caller]
    pub(crate) fn is_alive(&mut self) {
        self.ok(&build(|out| frame::write_ping(out, *b"alive???", false)));
        let frames = self.frames();
        assert!(frames.iter().any(|f| f.kind == kind::PING && f.flags == flag::ACK));
    }

    /// Takes the output as frames.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        let bytes = self.connection.output().to_vec();
        self.connection.consume_output(bytes.len());
        let frames = parse(&bytes);
        assert_eq!(self.connection.output(), b"");
        frames
    }

    /// Takes the output, decoding header blocks.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let mut headers = Headers::new();
        self.decoder.decode(block, 1 << 20, &mut headers).expect("a valid block");
        pairs(&headers)
    }

    /// A request from the scripted client; the server must report it.
    #[track_caller]
    pub(crate) fn request(&mut self, stream: StreamId, end: bool) {
        let seen = self.ok(&headers(stream, REQUEST, end));
        assert!(
            matches!(&seen[..], [Seen::Headers { kind: HeadersKind::Initial, end: e, .. }] if *e == end),
            "{seen:?}"
        );
    }

    /// A request of the client under test.
    #[track_caller]
    pub(crate) fn open(&mut self, end: bool) -> StreamId {
        let id = self.connection.open(fields(REQUEST), end, 7).expect("a stream");
        assert_eq!(self.frames().last().expect("HEADERS").kind, kind::HEADERS);
        id
    }

    /// A response of the server under test.
    #[track_caller]
    pub(crate) fn respond(&mut self, stream: StreamId, end: bool) {
        assert!(self.connection.send_headers(stream, fields(RESPONSE), end));
    }
}

pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let header = FrameHeader::parse(bytes).expect("whole frames only");
        let end = HEADER_LEN + header.length;
        frames.push(Frame {
            kind: header.kind,
            flags: header.flags,
            stream: header.stream,
            payload: bytes[HEADER_LEN..end].to_vec(),
        });
        bytes = &bytes[end..];
    }
    frames
}

pub(crate) fn build(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// A frame of any shape.
pub(crate) fn raw(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Vec<u8> {
    build(|out| {
        frame::write_header(out, payload.len(), kind, flags, stream);
        out.extend_from_slice(payload);
    })
}

/// A header block of literals without indexing, so that it depends on no table.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let bytes: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    raw_block(&bytes)
}

pub(crate) fn raw_block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            let mut rest = text.len();
            if rest < 127 {
                out.push(rest as u8);
            } else {
                out.push(127);
                rest -= 127;
                while rest >= 128 {
                    out.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                out.push(rest as u8);
            }
            out.extend_from_slice(text);
        }
    }
    out
}

pub(crate) fn headers(stream: StreamId, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    build(|out| frame::write_headers(out, stream, &block(fields), end, true))
}

pub(crate) fn data(stream: StreamId, data: &[u8], end: bool) -> Vec<u8> {
    build(|out| frame::write_data(out, stream, data, end))
}

pub(crate) fn window_update(stream: StreamId, increment: u32) -> Vec<u8> {
    build(|out| frame::write_window_update(out, stream, increment))
}

pub(crate) fn rst_stream(stream: StreamId, code: ErrorCode) -> Vec<u8> {
    build(|out| frame::write_rst_stream(out, stream, code.0))
}

pub(crate) fn settings(list: &[(u16, u32)]) -> Vec<u8> {
    build(|out| frame::write_settings(out, list))
}

pub(crate) fn fields<'a>(list: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = Field<'a>> + Clone {
    list.iter().map(|(n, v)| Field::new(n.as_bytes(), v.as_bytes()))
}

pub(crate) fn pairs(headers: &Headers) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    headers.iter().map(|f| (text(f.name), text(f.value))).collect()
}

pub(crate) fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
}
