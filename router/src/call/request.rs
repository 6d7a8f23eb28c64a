//! The beginning of a call: what its headers say, and the headers that its instance gets.

use super::{Call, Messages, Phase};
use crate::{
    balance::Rng,
    error::{Error, Reason},
    peek::{Encoding, Limits, Search},
    plane::{CallKey, ConnKey, Plane, millis},
    route::{self, TARGET_HEADER},
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use switchboard_http2::{self as http2, Field, Headers, OpenError, StreamId};

/// A request ID that a client may choose: longer ones, or others than visible ASCII, are replaced.
const REQUEST_ID_MAX: usize = 128;
const REQUEST_ID: &[u8] = b"x-request-id";
/// Headers that are the router's own: a client's are consumed or dropped, never passed on.
const OWN_HEADERS: &[u8] = b"x-switchboard-";
/// What is taken off the remaining time before it is passed on, so that the router's own deadline fires first
/// at the client (Envoy's `grpc_timeout_header_offset`).
const TIMEOUT_OFFSET_MS: u64 = 5;

impl Plane {
    /// Makes a call of request headers. Nothing is checked yet: the answer to what is wrong needs the call.
    pub(crate) fn new_call(&mut self, down: (ConnKey, StreamId), headers: &Headers, end: bool) -> CallKey {
        self.metrics.calls_in_flight.fetch_add(1, Relaxed);
        self.next_serial += 1;
        if let Some(policy) = self.policy.as_deref_mut() {
            policy.begin();
        }
        let mut request = self.take_headers();
        let mut target_header: Option<Box<[u8]>> = None;
        let mut has_id = false;
        let mut timeout_ms = None;
        let mut encoding = Encoding::Identity;
        // Fields that stay are taken over in runs.
        let mut run = 0;
        for (at, field) in headers.iter().enumerate() {
            let stays = match field.name {
                b"grpc-timeout" => {
                    timeout_ms = Some(parse_timeout(field.value));
                    false
                }
                REQUEST_ID => {
                    let fit = !has_id && is_request_id(field.value);
                    has_id |= fit;
                    fit
                }
                b"grpc-encoding" => {
                    encoding = match field.value {
                        b"identity" => Encoding::Identity,
                        b"gzip" => Encoding::Gzip,
                        b"deflate" => Encoding::Deflate,
                        _ => Encoding::Other,
                    };
                    true
                }
                name if name == TARGET_HEADER.as_bytes() => {
                    // Repeated fields are one list (RFC 9110 section 5.3), and a list is no ID.
                    target_header = Some(match target_header.take() {
                        None => field.value.into(),
                        Some(first) => [&*first, b",", field.value].concat().into_boxed_slice(),
                    });
                    false
                }
                b"authorization" => {
                    !self.policy.as_deref_mut().is_some_and(|policy| policy.offer(field.value))
                }
                // What the router says to instances, only the router says.
                name => !name.starts_with(OWN_HEADERS),
            };
            if !stays {
                request.push_range(headers, run..at);
                run = at + 1;
            }
        }
        request.push_range(headers, run..headers.len());
        if !has_id {
            request.push(REQUEST_ID, &new_request_id(&mut self.rng));
        }
        let method = self.routes.get(request.get(b":path").unwrap_or_default()).cloned();
        let deadline_ms = match timeout_ms {
            Some(Some(ms)) => self.now_ms.saturating_add(ms),
            // An unreadable one is refused by `check_request`.
            Some(None) => 0,
            None if method.as_ref().is_some_and(|method| method.unary) => {
                self.now_ms + millis(self.config.default_unary_deadline)
            }
            None => u64::MAX,
        };
        let search = match &method {
            Some(method) if method.id_field != 0 => {
                let (id_field, affinity_field) = (method.id_field, method.affinity_field);
                Search::Due(
                    Limits { id_field, affinity_field, decide_bytes: self.config.peek_max_bytes },
                    encoding,
                )
            }
            _ => Search::Over,
        };
        self.calls.insert(Call {
            serial: self.next_serial,
            phase: Phase::Reading,
            down,
            up: None,
            method,
            request,
            target_header,
            target: None,
            caller: None,
            permitted: self.policy.is_none(),
            permit: None,
            service: None,
            search,
            affinity: Box::default(),
            held: Vec::new(),
            replayable: true,
            received: 0,
            moved: 0,
            released: 0,
            client_done: end,
            started: false,
            load: None,
            probe: false,
            idempotent: false,
            may_return: false,
            attempts: 0,
            early: None,
            opened_us: 0,
            active_ms: self.now_ms,
            room: None,
            by_header: false,
            leave_ms: u64::MAX,
            pool: None,
            other: None,
            is_hedge: false,
            hedge_ms: 0,
            failed_at: None,
            first_error: None,
            unreached_until_ms: 0,
            refused: None,
            limits: None,
            place: None,
            request_messages: Messages::default(),
            response_messages: Messages::default(),
            message_max: self.config.max_message_bytes,
            deadline_ms,
            deadline_sent: timeout_ms.is_some(),
            patience_ms: u64::MAX,
            began_us: self.now_us,
        })
    }

    /// Whether the request is one that the router serves, and within the limits.
    pub(super) fn check_request(&mut self, key: CallKey) -> Result<(), Error> {
        let Some(call) = self.calls.get(key) else { return Ok(()) };
        if call.deadline_ms == 0 {
            return Err(Error::bad_timeout());
        }
        let content_type = call.request.get(b"content-type").unwrap_or_default();
        let post = call.request.get(b":method") == Some(b"POST");
        if !post || !is_grpc(content_type) {
            return Err(Error::not_grpc(post));
        }
        // The contract's own methods are.
        if call.method.is_none() {
            let path = call.request.get(b":path").unwrap_or_default();
            if !route::is_method_path(path) {
                return Err(Error::bad_path(path));
            }
        }
        let budget = self.config.memory_budget as u64;
        if self.metrics.buffered_bytes.load(Relaxed) > budget {
            return Err(Error::limit(
                Reason::MEMORY_BUDGET,
                format!(
                    "calls hold more than {budget} bytes, the router's budget: call again, or add routers"
                ),
            ));
        }
        let limit = self.config.max_calls_in_flight;
        if self.metrics.calls_in_flight.load(Relaxed) > limit as u64 {
            return Err(Error::limit(
                Reason::CALLS_IN_FLIGHT,
                format!("the router has {limit} calls in flight, its limit: call again, or add routers"),
            ));
        }
        Ok(())
    }
}

impl Call {
    /// Whether the deadline as the instance knows it has passed, or is about to.
    pub(crate) fn deadline_is_near(&self, now_ms: u64) -> bool {
        self.deadline_ms != u64::MAX && now_ms + 2 * TIMEOUT_OFFSET_MS >= self.deadline_ms
    }

    /// Opens a stream on the connection and sends what came of the request so far. Returns the stream and how many bytes
    /// of it wait for room.
    pub(crate) fn send_on(
        &self,
        http2: &mut http2::Connection,
        key: CallKey,
        now_ms: u64,
    ) -> Result<(StreamId, usize), OpenError> {
        let timeout = self.timeout_field(now_ms);
        let previous = (self.attempts > 0).then(|| Decimal::new(self.attempts.into(), b""));
        let end = self.client_done && self.held.is_empty();
        let own = own_fields(timeout.as_ref(), previous.as_ref());
        let stream = http2.open_list(&self.request, own, end, key)?;
        let pending = match self.held.is_empty() {
            true => 0,
            false => http2.send_data(stream, &self.held, self.client_done),
        };
        Ok((stream, pending))
    }

    /// The time left for `grpc-timeout`; `None` if the call has no deadline.
    fn timeout_field(&self, now_ms: u64) -> Option<Decimal> {
        if self.deadline_ms == u64::MAX {
            return None;
        }
        let left_ms = self.deadline_ms.saturating_sub(now_ms).saturating_sub(TIMEOUT_OFFSET_MS).max(1);
        // At most eight digits: milliseconds reach for 27 hours, seconds for three years.
        Some(match left_ms < 100_000_000 {
            true => Decimal::new(left_ms, b"m"),
            false => Decimal::new((left_ms / 1_000).min(99_999_999), b"S"),
        })
    }

    /// Keeps of the request headers only what is told of the call at its end, since they are not sent again. Returns the
    /// memory that they had.
    pub(crate) fn shed_request(&mut self) -> Headers {
        let mut told = Headers::new();
        for name in [b":path".as_slice(), REQUEST_ID] {
            if let Some(value) = self.request.get(name) {
                told.push(name, value);
            }
        }
        told.shrink(0);
        std::mem::replace(&mut self.request, told)
    }

    /// Its `x-request-id`.
    pub(crate) fn request_id(&self) -> &[u8] {
        self.request.get(REQUEST_ID).unwrap_or_default()
    }
}

/// A number as text, with at most one letter behind it.
struct Decimal {
    text: [u8; 21],
    start: usize,
}

impl Decimal {
    fn new(mut number: u64, unit: &[u8]) -> Self {
        let mut text = [0; 21];
        let mut start = text.len() - unit.len();
        text[start..].copy_from_slice(unit);
        loop {
            start -= 1;
            text[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Decimal { text, start };
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// 128 random bits in hexadecimal.
fn new_request_id(rng: &mut Rng) -> [u8; 32] {
    let bits = u128::from(rng.next()) << 64 | u128::from(rng.next());
    std::array::from_fn(|at| b"0123456789abcdef"[(bits >> (124 - 4 * at)) as usize & 0xf])
}

/// The fields that the router adds to the client's.
fn own_fields<'a>(
    timeout: Option<&'a Decimal>,
    previous: Option<&'a Decimal>,
) -> impl Iterator<Item = Field<'a>> {
    let timeout = timeout.map(|value| Field::new(b"grpc-timeout", value.bytes()));
    let previous = previous.map(|value| Field::new(b"grpc-previous-rpc-attempts", value.bytes()));
    timeout.into_iter().chain(previous)
}

/// `grpc-timeout` in ms, rounded up: 1 to 8 digits and a unit (PROTOCOL-HTTP2, "Timeout").
fn parse_timeout(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let timeout = match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    };
    Some(millis(timeout + Duration::from_nanos(999_999)))
}

fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn is_request_id(value: &[u8]) -> bool {
    (1..=REQUEST_ID_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

/// The status in trailers; 2 (UNKNOWN) where there is none that can be read, as gRPC clients take it.
pub(crate) fn grpc_status(headers: &Headers) -> u8 {
    match headers.get(b"grpc-status") {
        Some([digit @ b'0'..=b'9']) => digit - b'0',
        Some(value) => str::from_utf8(value).ok().and_then(|value| value.parse().ok()).unwrap_or(2),
        None => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_in_every_unit_and_never_rounded_down() {
        for (text, ms) in [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("3S", Some(3_000)),
            ("4m", Some(4)),
            ("1u", Some(1)),
            ("1500u", Some(2)),
            ("1n", Some(1)),
            ("0m", Some(0)),
            ("99999999H", Some(359_999_996_400_000)),
            ("", None),
            ("m", None),
            ("1", None),
            ("123456789m", None),
            ("-1m", None),
            ("1x", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), ms, "{text}");
        }
    }

    #[test]
    fn numbers_and_request_ids_are_written_in_full() {
        for (number, unit, text) in
            [(0, "", "0"), (7, "m", "7m"), (29_995, "m", "29995m"), (u64::MAX, "S", "18446744073709551615S")]
        {
            assert_eq!(Decimal::new(number, unit.as_bytes()).bytes(), text.as_bytes());
        }
        let (mut rng, mut same) = (Rng::new(5), Rng::new(5));
        let text = format!("{:016x}{:016x}", same.next(), same.next());
        assert_eq!(new_request_id(&mut rng), text.as_bytes());
    }

    #[test]
    fn content_types_of_grpc_are_known() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(text.as_bytes()), expected, "{text}");
        }
    }
}
