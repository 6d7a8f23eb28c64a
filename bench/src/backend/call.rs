//! One call: what came of its request, and what is answered.

use super::answer::Answer;
use crate::{
    link::Outgoing,
    message::{PREFIX, is_pattern, request_content},
};
use std::rc::Rc;
use switchboard_http2::StreamId;

/// A call that is not over.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) stream: StreamId,
    pub(super) answer: Rc<Answer>,
    /// Its messages, once the answer has begun.
    pub(super) outgoing: Option<Outgoing>,
    pub(super) request: Request,
}

/// A request: one message, of which only the first bytes are looked at unless it is the load generator's.
#[derive(Debug, Default)]
pub(super) struct Request {
    received: usize,
    /// What the prefix says, with the prefix.
    expected: Option<usize>,
    /// Where the pattern begins, if it is known to be there.
    content: Option<usize>,
    damaged: bool,
}

impl Request {
    /// Takes bytes of the body in.
    pub(super) fn take(&mut self, data: &[u8]) {
        let at = self.received;
        self.received += data.len();
        if at == 0 {
            // A proxy may split anything anywhere; what is split within the head is not checked by content.
            if let Some(prefix) = data.first_chunk::<PREFIX>() {
                let [_, length @ ..] = *prefix;
                self.expected = Some(PREFIX + u32::from_be_bytes(length) as usize);
            }
            self.content = request_content(data);
        }
        if let Some(content) = self.content {
            let skip = content.saturating_sub(at).min(data.len());
            self.damaged |= !is_pattern(at + skip - content, &data[skip..]);
        }
    }

    /// Whether it is complete and, as far as that is known, what was sent.
    pub(super) fn is_whole(&self) -> bool {
        !self.damaged && self.expected.is_none_or(|expected| expected == self.received)
    }
}
