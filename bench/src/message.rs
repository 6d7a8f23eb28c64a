//! gRPC messages whose content is known beforehand, so that they are sent without being built and checked without being
//! held: a head, a long pattern, a tail.
//!
//! They are valid `TaskRequest`, `TaskResponse` and `TaskChunk` messages in protobuf's canonical order, so that a proxy
//! that decodes and encodes them anew passes the same bytes on.

/// The longest piece that is sent or compared at a time: one DATA frame.
pub(crate) const PIECE: usize = 16 << 10;
/// Bytes of the gRPC prefix: a flag and a length.
pub(crate) const PREFIX: usize = 5;
/// After so many bytes the pattern begins anew. A prime, so that a lost or doubled frame does not fit into it.
const PERIOD: usize = 16_381;
/// The text that fills messages. It goes on for a piece behind its period, so that any piece is contiguous.
static PATTERN: [u8; PERIOD + PIECE] = pattern();
/// The first field of all: `task_id` is `bench`.
const TASK_ID: &[u8] = b"\x0a\x05bench";

const fn pattern() -> [u8; PERIOD + PIECE] {
    let mut bytes = [0; PERIOD + PIECE];
    let mut state: u32 = 1;
    let mut at = 0;
    while at < bytes.len() {
        if at < PERIOD {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Letters, digits and two more: protobuf strings are UTF-8.
            bytes[at] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 26) as usize];
        } else {
            bytes[at] = bytes[at - PERIOD];
        }
        at += 1;
    }
    bytes
}

/// The pattern from a position on: at least [`PIECE`] bytes.
fn pattern_from(at: usize) -> &'static [u8] {
    &PATTERN[at % PERIOD..]
}

/// Whether the bytes are the pattern's from a position on.
pub(crate) fn is_pattern(mut at: usize, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let expected = pattern_from(at);
        let n = expected.len().min(bytes.len());
        if expected[..n] != bytes[..n] {
            return false;
        }
        at += n;
        bytes = &bytes[n..];
    }
    true
}

/// One message with its gRPC prefix.
#[derive(Debug)]
pub(crate) struct Message {
    /// All of a short message; of a short answer several copies, one behind the other.
    head: Vec<u8>,
    /// Bytes of the pattern between head and tail.
    content: usize,
    tail: &'static [u8],
    total: usize,
}

impl Message {
    /// A `TaskRequest` of so many bytes to that agent (one byte less where no message has that size, and never less than
    /// the fixed fields take).
    pub(crate) fn request(agent_id: &str, bytes: usize) -> Self {
        let mut fields = TASK_ID.to_vec();
        fields.push(0x12);
        varint(agent_id.len(), &mut fields);
        fields.extend_from_slice(agent_id.as_bytes());
        Self::filled(fields, 0x1a, &[], bytes)
    }

    /// A `TaskResponse` of success.
    pub(crate) fn response(bytes: usize) -> Self {
        Self::filled(TASK_ID.to_vec(), 0x12, &[0x18, 1], bytes).repeated()
    }

    /// A `TaskChunk`, not the final one.
    pub(crate) fn chunk(bytes: usize) -> Self {
        Self::filled(TASK_ID.to_vec(), 0x12, &[], bytes).repeated()
    }

    /// Any message.
    pub(crate) fn of(fields: &[u8]) -> Self {
        Self::new(fields, 0, &[])
    }

    /// Appends a field of that tag with as much of the pattern as makes the message `bytes` long.
    fn filled(mut fields: Vec<u8>, tag: u8, tail: &'static [u8], bytes: usize) -> Self {
        let room = bytes.saturating_sub(fields.len() + tail.len() + 1);
        let content =
            (1..=5).map(|size| room.saturating_sub(size)).find(|len| varint_len(*len) + len <= room);
        let content = content.unwrap_or(0);
        if content > 0 {
            fields.push(tag);
            varint(content, &mut fields);
        }
        Self::new(&fields, content, tail)
    }

    fn new(fields: &[u8], content: usize, tail: &'static [u8]) -> Self {
        let length = fields.len() + content + tail.len();
        let mut head = vec![0];
        head.extend_from_slice(&(length as u32).to_be_bytes());
        head.extend_from_slice(fields);
        let total = PREFIX + length;
        if total > PIECE {
            return Message { head, content, tail, total };
        }
        head.extend_from_slice(&pattern_from(0)[..content]);
        head.extend_from_slice(tail);
        Message { head, content: 0, tail: &[], total }
    }

    /// Has a short message stand several times in `head`: what comes of a stream of them is compared in one go.
    fn repeated(mut self) -> Self {
        if self.is_short() {
            self.head = self.head.repeat(PIECE / self.total + 2);
        }
        self
    }

    /// Bytes with the prefix.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Whether it is sent in one piece.
    pub(crate) fn is_short(&self) -> bool {
        self.total <= PIECE
    }

    /// The next bytes to send from a position on (below [`Message::total`]): a piece at most, and within the message.
    pub(crate) fn piece(&self, at: usize) -> &[u8] {
        let rest = self.rest(at);
        &rest[..rest.len().min(PIECE).min(self.total - at)]
    }

    /// Bytes from a position on; of a short message they may go on with the next one.
    fn rest(&self, at: usize) -> &[u8] {
        let Some(beyond) = at.checked_sub(self.head.len()) else { return &self.head[at..] };
        match beyond.checked_sub(self.content) {
            None => {
                let pattern = pattern_from(beyond);
                &pattern[..pattern.len().min(self.content - beyond)]
            }
            Some(beyond) => &self.tail[beyond..],
        }
    }

    /// Whether the bytes are those of a stream of this message, from a position in the stream on.
    pub(crate) fn matches(&self, at: u64, mut bytes: &[u8]) -> bool {
        let total = self.total as u64;
        let mut at = if at < total { at as usize } else { (at % total) as usize };
        while !bytes.is_empty() {
            let expected = self.rest(at);
            let n = expected.len().min(bytes.len());
            if expected[..n] != bytes[..n] {
                return false;
            }
            bytes = &bytes[n..];
            at = (at + n) % self.total;
        }
        true
    }
}

/// Where the pattern begins in a [`Message::request`], if the bytes are the beginning of one.
pub(crate) fn request_content(bytes: &[u8]) -> Option<usize> {
    let after = bytes.get(PREFIX..)?.strip_prefix(TASK_ID)?.strip_prefix(b"\x12")?;
    let (len, rest) = after.split_first()?;
    // An ID is far shorter than what needs a second byte for its length.
    let rest = rest.get(usize::from(*len)..)?.strip_prefix(b"\x1a")?;
    let varint = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
    Some(bytes.len() - rest.len() + varint)
}

fn varint_len(value: usize) -> usize {
    (value.max(1).ilog2() / 7 + 1) as usize
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use switchboard_proto::agentplatform::{TaskChunk, TaskRequest, TaskResponse};

    fn bytes(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < message.total() {
            bytes.extend_from_slice(message.piece(bytes.len()));
        }
        bytes
    }

    #[test]
    fn messages_have_their_size_and_survive_a_decoder() {
        for size in [93, 106, 1_000, 16_384, 20_000, 1_000_000] {
            let request = bytes(&Message::request("bench-agent", size));
            assert_eq!(request.len(), PREFIX + size);
            assert_eq!(request[1..PREFIX], (size as u32).to_be_bytes());
            let decoded = TaskRequest::decode(&request[PREFIX..]).unwrap();
            assert_eq!((&*decoded.task_id, &*decoded.agent_id), ("bench", "bench-agent"));
            assert_eq!(decoded.encode_to_vec(), request[PREFIX..]);
            let at = request_content(&request).unwrap();
            assert!(is_pattern(0, &request[at..]) && !is_pattern(1, &request[at..]));

            let response = bytes(&Message::response(size));
            let decoded = TaskResponse::decode(&response[PREFIX..]).unwrap();
            assert!(decoded.success && response.len() == PREFIX + size);
            assert_eq!(decoded.encode_to_vec(), response[PREFIX..]);

            let chunk = bytes(&Message::chunk(size));
            assert!(!TaskChunk::decode(&chunk[PREFIX..]).unwrap().is_final);
        }
        assert_eq!(bytes(&Message::response(0)).len(), PREFIX + 9, "no less than the fixed fields");
        assert_eq!(bytes(&Message::chunk(137)).len(), PREFIX + 136, "no message has 137 bytes");
    }

    #[test]
    fn a_stream_is_checked_in_any_split() {
        for message in [Message::chunk(60), Message::response(40_000)] {
            let stream = bytes(&message).repeat(3);
            for split in [1, 7, 64, 16_384, 50_000] {
                let mut at = 0;
                for part in stream.chunks(split) {
                    assert!(message.matches(at as u64, part));
                    assert!(!message.matches(at as u64 + 1, part) || part.len() < 7);
                    at += part.len();
                }
            }
            let mut wrong = stream;
            let last = wrong.len() - 3;
            wrong[last] ^= 1;
            assert!(!message.matches(0, &wrong));
        }
    }
}
