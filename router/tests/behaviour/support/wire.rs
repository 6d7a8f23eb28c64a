//! A peer that writes bytes and reads frames, for what the h2 crate is too polite to do. It serves as client and
//! as backend.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use switchboard_http2::{
    Field,
    frame::{self, FrameHeader, flag, kind},
    hpack::Encoder,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// One frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Last stream and code of a GOAWAY.
    pub(crate) fn go_away(&self) -> (u32, u32) {
        assert_eq!(self.kind, kind::GOAWAY, "{self:?}");
        (self.word(0) & frame::MAX_31, self.word(4))
    }

    /// The big-endian word at an offset.
    pub(crate) fn word(&self, at: usize) -> u32 {
        let bytes = self.payload[at..].first_chunk().expect("the payload is long enough");
        u32::from_be_bytes(*bytes)
    }

    pub(crate) fn ends_stream(&self) -> bool {
        self.flags & flag::END_STREAM != 0
    }
}

/// One connection.
pub(crate) struct Wire {
    socket: TcpStream,
    encoder: Encoder,
    input: Vec<u8>,
}

/// Frames that a test waits for come at once or not at all.
const FRAME_LIMIT: Duration = Duration::from_secs(10);

impl Wire {
    fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("the socket is open");
        Wire { socket, encoder: Encoder::new(4096), input: Vec::new() }
    }

    /// Connects and says nothing.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).await.expect("the router listens"))
    }

    /// Connects and exchanges SETTINGS as a client.
    pub(crate) async fn client(addr: SocketAddr) -> Self {
        let mut wire = Self::connect(addr).await;
        wire.write(frame::PREFACE).await;
        wire.send(|out| frame::write_settings(out, &[])).await;
        wire.wait(kind::SETTINGS).await;
        wire.send(frame::write_settings_ack).await;
        wire
    }

    /// Writes bytes; a peer that is gone is found out by reading.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    /// Writes frames.
    pub(crate) async fn send(&mut self, frames: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        frames(&mut out);
        self.write(&out).await;
    }

    /// Encodes a header block.
    pub(crate) fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        self.encoder.begin(&mut out);
        for (name, value) in fields {
            let field = Field::new(name.as_bytes(), value.as_bytes());
            self.encoder.encode(field, &mut out);
        }
        out
    }

    /// The header block of a gRPC request.
    pub(crate) fn request_block(&mut self, path: &str) -> Vec<u8> {
        self.block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "router"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ])
    }

    /// The next frame; `None` when the peer closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        timeout(FRAME_LIMIT, self.read_frame()).await.expect("a frame or the end comes in time")
    }

    async fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(header) = FrameHeader::parse(&self.input)
                && self.input.len() >= frame::HEADER_LEN + header.length
            {
                let rest = self.input.split_off(frame::HEADER_LEN + header.length);
                let frame = std::mem::replace(&mut self.input, rest);
                return Some(Frame {
                    kind: header.kind,
                    flags: header.flags,
                    stream: header.stream,
                    payload: frame[frame::HEADER_LEN..].to_vec(),
                });
            }
            match self.socket.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame of that kind; others are passed over.
    pub(crate) async fn wait(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().await.unwrap_or_else(|| panic!("closed before a frame of kind {kind}"));
            if frame.kind == kind && !(kind == kind::SETTINGS && frame.flags & flag::ACK != 0) {
                return frame;
            }
        }
    }

    /// Reads to the end of the connection; the frames that came.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }
}

/// A backend's listener whose connections the test serves itself.
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    listener: TcpListener,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        // As for backends: some tests leave nobody there.
        let addr = (Ipv4Addr::LOCALHOST, switchboard_testkit::free_port());
        let listener = TcpListener::bind(addr).await.expect("the port is free");
        Peer { addr: listener.local_addr().expect("it is bound"), listener }
    }

    /// Takes one connection and says nothing.
    pub(crate) async fn accept(&self) -> Wire {
        let accepted = timeout(FRAME_LIMIT, self.listener.accept()).await.expect("the router connects");
        Wire::new(accepted.expect("the listener is open").0)
    }

    /// Takes one connection and exchanges SETTINGS as a server.
    pub(crate) async fn accept_http2(&self, settings: &[(u16, u32)]) -> Wire {
        let mut wire = self.accept().await;
        let mut preface = [0; frame::PREFACE.len()];
        wire.socket.read_exact(&mut preface).await.expect("the preface comes");
        assert_eq!(&preface, frame::PREFACE);
        wire.wait(kind::SETTINGS).await;
        wire.send(|out| {
            frame::write_settings(out, settings);
            frame::write_settings_ack(out);
        })
        .await;
        wire
    }
}
