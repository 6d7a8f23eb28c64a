//! What is answered: by method, and by header `x-bench-reply`.

use crate::message::Message;
use std::rc::Rc;
use switchboard_http2::Headers;

/// The header that says what is to be answered.
pub(crate) const REPLY: &[u8] = b"x-bench-reply";
/// Bytes of the message that is answered where the header does not say.
pub(crate) const DEFAULT_BYTES: usize = 106;
/// The longest message that is answered.
const BYTES_MAX: usize = 1 << 30;
/// Values of the header that are remembered; a load has one or two.
const REMEMBERED: usize = 16;

/// What a call is answered with.
#[derive(Debug)]
pub(super) struct Answer {
    /// gRPC status and text.
    pub(super) status: u8,
    pub(super) text: &'static str,
    pub(super) message: Rc<Message>,
    pub(super) count: u64,
    /// Between two messages; 0: they go as fast as they are taken.
    pub(super) interval_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Execute,
    Stream,
}

/// The answers that were asked for lately.
#[derive(Debug)]
pub(super) struct Answers {
    remembered: Vec<(Method, Vec<u8>, Rc<Answer>)>,
    health: Rc<Answer>,
    unknown: Rc<Answer>,
    ill_formed: Rc<Answer>,
    pub(super) damaged: Rc<Answer>,
}

impl Default for Answers {
    fn default() -> Self {
        let fails = |status, text| {
            let message = Rc::new(Message::of(&[]));
            Rc::new(Answer { status, text, message, count: 0, interval_us: 0 })
        };
        // `status: SERVING`.
        let health = Message::of(&[8, 1]);
        let health = Answer { status: 0, text: "", message: Rc::new(health), count: 1, interval_us: 0 };
        Answers {
            remembered: Vec::new(),
            health: Rc::new(health),
            unknown: fails(12, "the bench has ExecuteTask, StreamTask and Health/Check only"),
            ill_formed: fails(3, "x-bench-reply is not BYTES[xCOUNT[@INTERVAL_US]]"),
            damaged: fails(15, "the request is not what switchboard-bench load sends"),
        }
    }
}

impl Answers {
    /// The answer to a call with these headers.
    pub(super) fn find(&mut self, headers: &Headers) -> Rc<Answer> {
        let (mut path, mut reply): (&[u8], &[u8]) = (b"", b"");
        for field in headers.iter() {
            match field.name {
                b":path" => path = field.value,
                REPLY => reply = field.value,
                _ => {}
            }
        }
        let method = match path {
            _ if path.ends_with(b"AgentService/ExecuteTask") => Method::Execute,
            _ if path.ends_with(b"AgentService/StreamTask") => Method::Stream,
            b"/grpc.health.v1.Health/Check" => return self.health.clone(),
            _ => return self.unknown.clone(),
        };
        let found = self.remembered.iter().find(|(m, text, _)| *m == method && text == reply);
        if let Some((_, _, answer)) = found {
            return answer.clone();
        }
        let Some(answer) = parse(method, reply) else { return self.ill_formed.clone() };
        let answer = Rc::new(answer);
        if self.remembered.len() == REMEMBERED {
            self.remembered.remove(0);
        }
        self.remembered.push((method, reply.to_vec(), answer.clone()));
        answer
    }
}

fn parse(method: Method, reply: &[u8]) -> Option<Answer> {
    let text = str::from_utf8(reply).ok()?;
    let (text, interval_us) = match text.split_once('@') {
        Some((text, interval)) => (text, interval.parse().ok()?),
        None => (text, 0),
    };
    let (text, count) = match text.split_once('x') {
        Some((text, count)) => (text, count.parse().ok()?),
        None => (text, 1),
    };
    let bytes =
        if text.is_empty() { DEFAULT_BYTES } else { text.parse().ok().filter(|b| *b <= BYTES_MAX)? };
    let (message, count) = match method {
        Method::Execute if count != 1 => return None,
        Method::Execute => (Message::response(bytes), 1),
        Method::Stream => (Message::chunk(bytes), count),
    };
    Some(Answer { status: 0, text: "", message: Rc::new(message), count, interval_us })
}
