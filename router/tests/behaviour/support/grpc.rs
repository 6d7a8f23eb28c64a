//! gRPC messages over the streams of the h2 crate, for both ends.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use prost::Message;
use std::future::poll_fn;
use switchboard_proto::agentplatform::{TaskRequest, ToolRequest};

/// The peer ended the stream before its time; its code if it sent one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone(pub(crate) Option<Reason>);

impl From<h2::Error> for Gone {
    fn from(error: h2::Error) -> Self {
        Gone(error.reason())
    }
}

/// A message with gRPC's prefix of five bytes.
pub(crate) fn frame(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(payload.len()).expect("messages are small"));
    out.put_slice(payload);
    out.freeze()
}

/// A request for an agent or a worker.
pub(crate) fn task(id: &str, input: &str) -> TaskRequest {
    TaskRequest { agent_id: id.to_owned(), input: input.to_owned(), ..TaskRequest::default() }
}

/// A request for a tool.
pub(crate) fn tool(id: &str) -> ToolRequest {
    ToolRequest { tool_id: id.to_owned(), operation: "op".to_owned(), ..ToolRequest::default() }
}

/// The receiving half of a stream, cut into messages. Its window is given back as data is read.
pub(crate) struct Messages {
    body: RecvStream,
    buffer: BytesMut,
}

impl Messages {
    pub(crate) fn new(body: RecvStream) -> Self {
        Messages { body, buffer: BytesMut::new() }
    }

    /// The next message without its prefix; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Gone> {
        loop {
            if let Some(header) = self.buffer.first_chunk::<5>() {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
                if self.buffer.len() >= 5 + length {
                    self.buffer.advance(5);
                    return Ok(Some(self.buffer.split_to(length).freeze()));
                }
            }
            match self.body.data().await {
                Some(data) => {
                    let data = data?;
                    // Fails only when the stream is over, and then there is nothing to give back.
                    let _ = self.body.flow_control().release_capacity(data.len());
                    self.buffer.extend_from_slice(&data);
                }
                None if self.buffer.is_empty() => return Ok(None),
                // Trailers may cut a message off, when they tell of a deadline or of a lost backend.
                None => return Err(Gone(None)),
            }
        }
    }

    /// The next message, decoded.
    pub(crate) async fn decode<M: Message + Default>(&mut self) -> Result<Option<M>, Gone> {
        Ok(self.next().await?.map(|bytes| M::decode(bytes).expect("the message is well-formed")))
    }

    /// All messages that are left.
    pub(crate) async fn rest(&mut self) -> Result<Vec<Bytes>, Gone> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// Reads on without keeping anything; how many bytes came until the end or the reset.
    pub(crate) async fn drain(&mut self) -> usize {
        let mut total = 0;
        while let Some(Ok(data)) = self.body.data().await {
            total += data.len();
            let _ = self.body.flow_control().release_capacity(data.len());
        }
        total
    }

    /// The trailers, after the last message.
    pub(crate) async fn trailers(&mut self) -> Result<HeaderMap, Gone> {
        Ok(self.body.trailers().await?.unwrap_or_default())
    }

    /// Whether nothing more can come: END_STREAM was there.
    pub(crate) fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Sends bytes as the windows allow.
pub(crate) async fn write(stream: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), Gone> {
    if data.is_empty() {
        return Ok(stream.send_data(data, end)?);
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(room)) => {
                let chunk = data.split_to(room.min(data.len()));
                stream.send_data(chunk, end && data.is_empty())?;
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Gone(None)),
        }
    }
    Ok(())
}

/// The code with which the peer resets the stream, once it does.
pub(crate) async fn reset_by_peer(stream: &mut SendStream<Bytes>) -> Gone {
    match poll_fn(|cx| stream.poll_reset(cx)).await {
        Ok(reason) => Gone(Some(reason)),
        Err(error) => error.into(),
    }
}

/// Headers or trailers from pairs.
pub(crate) fn fields(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name: http::HeaderName = name.parse().expect("a header name");
        map.append(name, value.parse().expect("a header value"));
    }
    map
}
