//! One end of one HTTP/2 connection (RFC 9113): the state that both directions share, and the small calls on it.
//!
//! ```text
//! socket bytes -> recv -> events -> caller -> open, send_headers, send_data, reset -> output -> socket bytes
//!                                      ^--------------- poll_sent <- pump <---------|  (windows, high water)
//! ```
//!
//! A stream error is an event and leaves the connection alone; a connection error is an `Err`, comes with a GOAWAY in the
//! output, and is final. `recv` and its handlers stand in `connection/recv.rs`, header blocks in `block.rs`, frames that
//! carry no message in `control.rs`, all sending in `send.rs`.

mod block;
mod control;
mod event;
mod flow;
mod limits;
mod message;
mod output;
mod pending;
mod recv;
mod send;
mod streams;

use std::collections::VecDeque;
use std::fmt;

pub use event::{Event, HeadersKind, NO_KEY, Step, StreamId};

use block::Block;
use flow::{RecvWindow, SendWindow};
use limits::{CONTROL_OUTPUT_MAX, Limits};
use output::Output;
use pending::Pending;
use streams::{Closed, Recv, Send, Stream, Streams};

use crate::frame::{self, DEFAULT_WINDOW, MAX_31, setting};
use crate::hpack::{Decoder, Encoder};
use crate::{Config, ConnectionError, ErrorCode, Headers};

/// The HPACK table of both ends until SETTINGS say otherwise (RFC 9113 section 6.5.2).
const DEFAULT_TABLE_SIZE: usize = 4096;

/// Debug data of a GOAWAY, in bytes: a sentence.
const DEBUG_DATA_MAX: usize = 1024;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// One end of an HTTP/2 connection, client or server, without I/O.
///
/// Bytes from the socket go into [`Connection::recv`], bytes for the socket come from [`Connection::output`]. Memory is
/// bounded by the caller's own DATA that it leaves pending ([`Connection::buffered_bytes`]), one header block, and the
/// limits of [`Config`].
pub struct Connection {
    role: Role,
    config: Config,
    /// The error that ended the connection.
    failed: Option<ConnectionError>,
    output: Output,
    streams: Streams,
    limits: Limits,

    // Receiving.
    preface_pending: bool,
    decoder: Decoder,
    /// The header list of the latest block; events lend it.
    headers: Headers,
    /// The header block that CONTINUATION frames still add to.
    block: Block,
    recv_window: RecvWindow,
    /// The receive window of new streams: the largest that the peer may have in mind.
    recv_initial: u32,
    /// The receive window that the peer has acknowledged, and those of our SETTINGS that it has not yet.
    acked_window: u32,
    unacked_windows: VecDeque<u32>,
    /// Server: the highest stream the client has used.
    max_peer_id: StreamId,

    // Sending.
    encoder: Encoder,
    peer: PeerSettings,
    /// True once the peer's SETTINGS have arrived.
    ready: bool,
    send_window: SendWindow,
    /// The largest that it has been: what the peer gives all streams together.
    send_window_max: usize,
    /// DATA bytes that went into the output since the connection began.
    data_sent: u64,
    /// Client: the identifier of the next stream.
    next_id: StreamId,
    /// Streams (table indices) with pending DATA and a window, in their turn.
    queue: VecDeque<usize>,
    /// What `pump` moved and `poll_sent` has not reported: at most one entry per written frame.
    sent: VecDeque<(StreamId, usize, usize)>,
    /// Pending bytes of all streams, trailers included.
    pending_total: usize,
    /// Boxes of streams that had something pending, for the next ones that do.
    #[expect(clippy::vec_box, reason = "it is the boxes that are used again")]
    spare: Vec<Box<Pending>>,

    // The end.
    draining: bool,
    /// The last stream of the final GOAWAY that we sent.
    goaway_sent: Option<StreamId>,
    /// The last stream of the peer's GOAWAY.
    goaway_received: Option<StreamId>,
}

/// The peer's SETTINGS, as far as they concern us.
#[derive(Clone, Copy, Debug)]
struct PeerSettings {
    initial_window: u32,
    max_frame_size: usize,
    max_concurrent_streams: u32,
    max_header_list_size: u32,
}

impl Connection {
    /// Makes the server's end. It expects the client's preface; its own SETTINGS are in the output at once.
    pub fn server(config: Config) -> Self {
        Self::new(Role::Server, config)
    }

    /// Makes the client's end. Preface and SETTINGS are in the output at once.
    pub fn client(config: Config) -> Self {
        Self::new(Role::Client, config)
    }

    fn new(role: Role, mut config: Config) -> Self {
        config.stream_window = config.stream_window.min(MAX_31);
        config.connection_window = config.connection_window.clamp(DEFAULT_WINDOW, MAX_31);
        config.max_frame_size =
            config.max_frame_size.clamp(frame::MIN_MAX_FRAME_SIZE, frame::MAX_MAX_FRAME_SIZE);
        let mut connection = Self {
            role,
            failed: None,
            output: Output::new(config.join_data),
            streams: Streams::default(),
            limits: Limits::new(&config),
            preface_pending: role == Role::Server,
            decoder: Decoder::new(DEFAULT_TABLE_SIZE),
            headers: Headers::new(),
            block: Block::default(),
            recv_window: RecvWindow::new(config.connection_window),
            recv_initial: config.stream_window.max(DEFAULT_WINDOW),
            acked_window: DEFAULT_WINDOW,
            unacked_windows: VecDeque::from([config.stream_window]),
            max_peer_id: 0,
            encoder: Encoder::new(config.encoder_table_max as usize),
            peer: PeerSettings {
                initial_window: DEFAULT_WINDOW,
                max_frame_size: frame::MIN_MAX_FRAME_SIZE as usize,
                max_concurrent_streams: u32::MAX,
                max_header_list_size: u32::MAX,
            },
            ready: false,
            send_window: SendWindow::new(DEFAULT_WINDOW),
            send_window_max: DEFAULT_WINDOW as usize,
            data_sent: 0,
            next_id: 1,
            queue: VecDeque::new(),
            sent: VecDeque::new(),
            pending_total: 0,
            spare: Vec::new(),
            draining: false,
            goaway_sent: None,
            goaway_received: None,
            config,
        };
        connection.write_first_frames();
        connection
    }

    fn write_first_frames(&mut self) {
        let config = &self.config;
        let out = self.output.tail();
        let mut settings = [(0_u16, 0_u32); 6];
        let mut count = 0;
        let mut add = |id, value| {
            settings[count] = (id, value);
            count += 1;
        };
        add(setting::INITIAL_WINDOW_SIZE, config.stream_window);
        add(setting::MAX_HEADER_LIST_SIZE, config.header_list_max);
        if config.header_table_size as usize != DEFAULT_TABLE_SIZE {
            add(setting::HEADER_TABLE_SIZE, config.header_table_size);
        }
        if config.max_frame_size != frame::MIN_MAX_FRAME_SIZE {
            add(setting::MAX_FRAME_SIZE, config.max_frame_size);
        }
        match self.role {
            Role::Client => {
                out.extend_from_slice(frame::PREFACE);
                add(setting::ENABLE_PUSH, 0);
            }
            Role::Server => add(setting::MAX_CONCURRENT_STREAMS, config.max_concurrent_streams),
        }
        frame::write_settings(out, &settings[..count]);
        if config.connection_window > DEFAULT_WINDOW {
            frame::write_window_update(out, 0, config.connection_window - DEFAULT_WINDOW);
        }
    }

    /// Gives a stream the caller's own handle, which its events carry from then on. Unknown streams are ignored.
    pub fn set_key(&mut self, stream: StreamId, key: usize) {
        if let Some(index) = self.streams.find(stream) {
            self.streams[index].key = key;
        }
    }

    /// Returns the caller's handle of a stream in the table.
    pub fn key(&self, stream: StreamId) -> Option<usize> {
        self.streams.get(stream).map(|s| s.key)
    }

    /// Returns whether the peer's SETTINGS have arrived and the connection has not failed.
    pub fn is_ready(&self) -> bool {
        self.ready && self.failed.is_none()
    }

    /// Returns how many streams are in the table.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Returns whether the peer has sent GOAWAY.
    pub fn is_going_away(&self) -> bool {
        self.goaway_received.is_some()
    }

    /// Returns whether the stream is in the table: not idle, not closed.
    pub fn contains(&self, stream: StreamId) -> bool {
        self.streams.find(stream).is_some()
    }

    /// Returns whether the peer sends nothing more on the stream; true for unknown streams.
    pub fn recv_closed(&self, stream: StreamId) -> bool {
        self.streams.get(stream).is_none_or(|s| s.recv == Recv::Closed)
    }

    /// Returns whether we send nothing more on the stream (END_STREAM is written or pending); true for unknown streams.
    pub fn send_closed(&self, stream: StreamId) -> bool {
        self.streams.get(stream).is_none_or(|s| matches!(s.send, Send::Ending | Send::Closed))
    }

    /// Returns how many DATA bytes of the stream wait for windows or for room in the output.
    pub fn pending(&self, stream: StreamId) -> usize {
        self.streams.get(stream).map_or(0, Stream::pending_len)
    }

    /// Returns how many bytes of DATA the peer's connection window takes now, and the most that it has taken. While the
    /// first is 0 no stream can send any.
    pub fn send_window(&self) -> (usize, usize) {
        (self.send_window.available(), self.send_window_max)
    }

    /// Returns the bytes held: output, everything pending, and an incomplete header block. For a memory gauge.
    pub fn buffered_bytes(&self) -> usize {
        self.output.len() + self.pending_total + self.block.len()
    }

    /// Returns the largest header list that the peer accepts, in bytes; `u32::MAX` if it did not say. It is advice (RFC
    /// 9113 section 10.5.1), not enforced here.
    pub fn peer_header_list_max(&self) -> u32 {
        self.peer.max_header_list_size
    }

    /// Returns the latest header block's fields. After a `StreamError` for an oversized list these are the ones that came
    /// before the limit, so that a gRPC status among them is not lost. Valid until the next `recv`.
    pub fn partial_headers(&self) -> &Headers {
        &self.headers
    }

    /// Lists streams with pending bytes: stream, key, bytes, and whether the stream's end is queued behind them.
    pub fn holding(&self) -> impl Iterator<Item = (StreamId, usize, usize, bool)> {
        let holding = self.streams.iter().filter(|stream| stream.pending.is_some());
        holding.map(|s| (s.id, s.key, s.pending_len(), s.send == Send::Ending))
    }

    /// Lists streams (and their keys) above `last_stream`: those that the sender of a GOAWAY has not processed.
    pub fn unprocessed(&self, last_stream: StreamId) -> impl Iterator<Item = (StreamId, usize)> {
        self.streams.iter().filter(move |s| s.id > last_stream).map(|s| (s.id, s.key))
    }

    /// Returns the bytes for the socket.
    pub fn output(&self) -> &[u8] {
        self.output.bytes()
    }

    /// Drops the first `n` bytes of the output: the socket has taken them.
    pub fn consume_output(&mut self, n: usize) {
        self.output.consume(n);
    }

    /// Returns whether the connection is over: it failed, or one side has sent its final GOAWAY and no stream is open.
    /// The caller closes the socket once the output is empty.
    pub fn is_finished(&self) -> bool {
        let going = self.goaway_sent.is_some() || self.goaway_received.is_some();
        self.failed.is_some() || (going && self.streams.len() == 0)
    }

    /// Sends a PING. Its answer comes as [`Event::PingAck`].
    pub fn ping(&mut self, payload: [u8; 8]) {
        if self.failed.is_none() {
            frame::write_ping(self.output.tail(), payload, false);
        }
    }

    /// Announces the end without refusing anything yet: GOAWAY with the highest stream (RFC 9113 section 6.8). After a
    /// round trip, [`Connection::goaway`] says which streams were really taken.
    pub fn drain(&mut self) {
        if self.failed.is_none() && !self.draining && self.goaway_sent.is_none() {
            self.draining = true;
            frame::write_goaway(self.output.tail(), MAX_31, ErrorCode::NO_ERROR.0, b"");
        }
    }

    /// Sends the final GOAWAY. Streams that are open go on; later ones of the peer are ignored, and `open` is refused. Debug
    /// data is cut at 1 KiB. A repeated call repeats the frame with the same last stream.
    pub fn goaway(&mut self, code: ErrorCode, debug: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let last = *self.goaway_sent.get_or_insert(self.max_peer_id);
        let debug = &debug[..debug.len().min(DEBUG_DATA_MAX)];
        frame::write_goaway(self.output.tail(), last, code.0, debug);
    }

    /// Ends the connection: GOAWAY into the output, and the same error from every later `recv`.
    fn fail(&mut self, error: ConnectionError) -> ConnectionError {
        let last = self.goaway_sent.unwrap_or(self.max_peer_id);
        frame::write_goaway(self.output.tail(), last, error.code.0, error.reason.as_bytes());
        self.failed = Some(error);
        error
    }

    /// Accounts an answer that the peer alone caused.
    fn account_control(&mut self, bytes: usize) -> Result<(), ConnectionError> {
        if self.output.account_control(bytes, CONTROL_OUTPUT_MAX) {
            return Ok(());
        }
        Err(calm("answers are not read"))
    }

    /// Takes a stream out of the table and drops what it has pending.
    fn remove(&mut self, index: usize, by: Closed) -> Stream {
        let mut stream = self.streams.remove(index, by);
        if stream.queued {
            self.queue.retain(|queued| *queued != index);
        }
        if let Some(pending) = stream.pending.take() {
            self.pending_total -= pending.len() + pending.trailers.list_size();
            self.recycle(pending);
        }
        stream
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("ready", &self.ready)
            .field("failed", &self.failed)
            .field("open_streams", &self.streams.len())
            .field("buffered_bytes", &self.buffered_bytes())
            .finish_non_exhaustive()
    }
}

fn protocol(reason: &'static str) -> ConnectionError {
    ConnectionError { code: ErrorCode::PROTOCOL_ERROR, reason }
}

fn frame_size(reason: &'static str) -> ConnectionError {
    ConnectionError { code: ErrorCode::FRAME_SIZE_ERROR, reason }
}

fn flow_control(reason: &'static str) -> ConnectionError {
    ConnectionError { code: ErrorCode::FLOW_CONTROL_ERROR, reason }
}

fn calm(reason: &'static str) -> ConnectionError {
    ConnectionError { code: ErrorCode::ENHANCE_YOUR_CALM, reason }
}
