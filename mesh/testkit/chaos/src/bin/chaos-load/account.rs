//! The books: `sent = ok + wrong + lost + refused`, by second, code and reason.

use crate::latency::Latency;
use crate::refusal::Refusal;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Reasons that are told apart; more of them count as one, so that a text with a number in it cannot fill the memory.
const MAX_KEYS: usize = 200;

/// How a call ended.
pub(crate) enum Outcome {
    /// With the answer that was due.
    Ok,
    /// With OK, and an answer that was not the one due.
    Wrong(String),
    /// With another status.
    Refused(Refusal),
    /// Not at all, long after its deadline.
    Lost,
}

/// Everything that is known about the calls so far.
pub(crate) struct Account {
    begun: Instant,
    books: RefCell<Books>,
}

#[derive(Default)]
struct Books {
    sent: u64,
    ok: u64,
    wrong: Vec<String>,
    wrong_count: u64,
    lost: u64,
    /// Turns that came while too many calls were in flight: the load generator's own failure.
    held_back: u64,
    /// Calls that were made again because the first time they were not sent.
    sent_anew: u64,
    refused: BTreeMap<String, Refused>,
    unary: Latency,
    message: Latency,
    last_ok: Option<Instant>,
    longest_pause: Duration,
    streams: Streams,
    /// What this second adds.
    now: Second,
    seconds: u64,
}

#[derive(Default)]
struct Second {
    sent: u64,
    ok: u64,
    refused: u64,
    unary: Latency,
}

struct Refused {
    count: u64,
    first_second: f64,
    last_second: f64,
    message: String,
}

#[derive(Default)]
struct Streams {
    opened: u64,
    open: u64,
    ended_well: u64,
    messages: u64,
    longest_wait: Duration,
    broken: Vec<Value>,
}

impl Account {
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), books: RefCell::default() }
    }

    pub(crate) fn sent(&self) {
        let mut books = self.books.borrow_mut();
        books.sent += 1;
        books.now.sent += 1;
    }

    pub(crate) fn held_back(&self) {
        self.books.borrow_mut().held_back += 1;
    }

    pub(crate) fn sent_anew(&self) {
        self.books.borrow_mut().sent_anew += 1;
    }

    /// Calls that have begun and not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        self.books.borrow().in_flight()
    }

    /// Books the end of a call whose turn came at `turn`; `timed` calls count for the latency.
    pub(crate) fn ended(&self, outcome: Outcome, turn: Instant, timed: bool) {
        let (now, second) = (Instant::now(), self.begun.elapsed().as_secs_f64());
        let mut books = self.books.borrow_mut();
        match outcome {
            Outcome::Ok => {
                books.ok += 1;
                books.now.ok += 1;
                let pause = now - books.last_ok.unwrap_or(self.begun);
                books.longest_pause = books.longest_pause.max(pause);
                books.last_ok = Some(now);
                if timed {
                    books.unary.record(now - turn);
                    books.now.unary.record(now - turn);
                }
            }
            Outcome::Wrong(text) => {
                books.wrong_count += 1;
                if books.wrong.len() < MAX_KEYS {
                    books.wrong.push(text);
                }
            }
            Outcome::Refused(refusal) => {
                books.now.refused += 1;
                books.refuse(refusal, second);
            }
            Outcome::Lost => books.lost += 1,
        }
    }

    /// Books the round trip of one small message of a stream.
    pub(crate) fn message(&self, time: Duration) {
        self.books.borrow_mut().message.record(time);
    }

    pub(crate) fn stream_opened(&self) {
        let streams = &mut self.books.borrow_mut().streams;
        streams.opened += 1;
        streams.open += 1;
    }

    pub(crate) fn stream_message(&self, waited: Duration) {
        let streams = &mut self.books.borrow_mut().streams;
        streams.messages += 1;
        streams.longest_wait = streams.longest_wait.max(waited);
    }

    pub(crate) fn stream_ended(&self, broken: Option<String>) {
        let second = self.begun.elapsed().as_secs_f64();
        let streams = &mut self.books.borrow_mut().streams;
        streams.open -= 1;
        match broken {
            None => streams.ended_well += 1,
            Some(why) => streams.broken.push(json!({ "second": second, "why": why })),
        }
    }

    /// What the last second was like.
    pub(crate) fn second(&self) -> Value {
        let mut books = self.books.borrow_mut();
        books.seconds += 1;
        let now = std::mem::take(&mut books.now);
        json!({
            "second": books.seconds,
            "sent": now.sent,
            "ok": now.ok,
            "refused": now.refused,
            "in_flight": books.in_flight(),
            "p99_us": now.unary.quantile(0.99),
            "total_sent": books.sent,
            "total_ok": books.ok,
            "streams_open": books.streams.open,
            "streams_messages": books.streams.messages,
        })
    }

    /// What all of it was like.
    pub(crate) fn total(&self) -> Value {
        let books = self.books.borrow();
        let refused = books.refused.iter().map(|(key, refused)| {
            let Refused { count, first_second, last_second, message } = refused;
            let value = json!({ "count": count, "first_second": first_second, "last_second": last_second,
                "message": message });
            (key.clone(), value)
        });
        let refused: serde_json::Map<String, Value> = refused.collect();
        let streams = &books.streams;
        json!({
            "final": true,
            "seconds": self.begun.elapsed().as_secs_f64(),
            "sent": books.sent,
            "ok": books.ok,
            "refused": refused,
            "refused_count": books.refused_count(),
            "wrong": books.wrong,
            "wrong_count": books.wrong_count,
            "lost": books.lost,
            "unended": books.in_flight(),
            "held_back": books.held_back,
            "sent_anew": books.sent_anew,
            "unary": books.unary.summary(),
            "message": books.message.summary(),
            "longest_pause_ms": books.longest_pause.as_secs_f64() * 1e3,
            "streams": {
                "opened": streams.opened,
                "ended_well": streams.ended_well,
                "messages": streams.messages,
                "longest_wait_ms": streams.longest_wait.as_secs_f64() * 1e3,
                "broken": streams.broken,
            },
        })
    }
}

impl Books {
    fn refused_count(&self) -> u64 {
        self.refused.values().map(|refused| refused.count).sum()
    }

    fn in_flight(&self) -> u64 {
        self.sent - self.ok - self.wrong_count - self.lost - self.refused_count()
    }

    fn refuse(&mut self, refusal: Refusal, second: f64) {
        let full = self.refused.len() >= MAX_KEYS && !self.refused.contains_key(&refusal.key);
        let key = if full { "others".to_owned() } else { refusal.key };
        let refused = self.refused.entry(key).or_insert_with(|| Refused {
            count: 0,
            first_second: second,
            last_second: second,
            message: refusal.message,
        });
        refused.count += 1;
        refused.last_second = second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance() {
        let account = Account::begin();
        let now = Instant::now();
        for number in 0..300_u32 {
            account.sent();
            let refusal = Refusal { key: format!("UNAVAILABLE {number}"), message: String::new() };
            account.ended(Outcome::Refused(refusal), now, true);
        }
        for outcome in [Outcome::Ok, Outcome::Wrong("x".into()), Outcome::Lost] {
            account.sent();
            account.ended(outcome, now, true);
        }
        account.sent();
        let total = account.total();
        assert_eq!(account.in_flight(), 1);
        assert_eq!([&total["sent"], &total["ok"], &total["refused_count"]], [304, 1, 300]);
        assert_eq!([&total["wrong_count"], &total["lost"], &total["unended"]], [1, 1, 1]);
        assert_eq!(total["refused"]["others"]["count"], 100, "{total}");
    }
}
