//! Whether the peer of a connection still answers.
//!
//! Silence is met with a PING; silence after that ends the connection. Whatever the peer sends counts as an answer, so
//! a busy connection is never asked. PINGs go hop by hop (complaint 49): they say nothing of what lies behind the peer.

use crate::plane::millis;
use std::time::Duration;

/// The PING that asks for a sign of life.
pub(crate) const PING: [u8; 8] = *b"sb-alive";

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Send [`PING`], and look again at that time.
    Ping { look_again_ms: u64 },
    /// All is well, look again at that time.
    Wait { look_again_ms: u64 },
    /// The PING was not answered in time.
    Dead,
}

/// When a connection's peer was last heard of, and asked. Times are ms of the router clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keepalive {
    heard_ms: u64,
    asked_ms: Option<u64>,
    /// PINGs since the peer last had something to say: headers or data.
    asked_in_a_row: u8,
}

impl Keepalive {
    pub(crate) fn new(now_ms: u64) -> Self {
        Keepalive { heard_ms: now_ms, asked_ms: None, asked_in_a_row: 0 }
    }

    /// Something came.
    pub(crate) fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.asked_ms = None;
    }

    /// Headers or data came, after which gRPC servers forget the PINGs before.
    pub(crate) fn spoke(&mut self) {
        self.asked_in_a_row = 0;
    }

    /// How many PINGs were sent since the peer last sent headers or data.
    pub(crate) fn asked_in_a_row(&self) -> u8 {
        self.asked_in_a_row
    }

    /// Whether something came after that time.
    pub(crate) fn heard_since(&self, ms: u64) -> bool {
        self.heard_ms > ms
    }

    /// Whether the answer to a PING is due.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked_ms.is_some()
    }

    /// Looks after the connection: `silence` is what is borne without asking, `answer` how long an answer may take.
    pub(crate) fn check(&mut self, silence: Duration, answer: Duration, now_ms: u64) -> Check {
        if let Some(asked_ms) = self.asked_ms {
            let until_ms = asked_ms + millis(answer);
            // Who answers late is due again after `silence`, not when the answer's time would have been over.
            let look_again_ms = until_ms.min(now_ms + millis(silence));
            return if now_ms >= until_ms { Check::Dead } else { Check::Wait { look_again_ms } };
        }
        let until_ms = self.heard_ms + millis(silence);
        if now_ms < until_ms {
            return Check::Wait { look_again_ms: until_ms };
        }
        self.asked_ms = Some(now_ms);
        self.asked_in_a_row = self.asked_in_a_row.saturating_add(1);
        // Who answers at once is due again after `silence`, even if the answer had more time than that.
        Check::Ping { look_again_ms: now_ms + millis(answer.min(silence)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(30);
    const ANSWER: Duration = Duration::from_secs(10);

    #[test]
    fn silence_is_asked_once_and_then_ends() {
        let mut alive = Keepalive::new(1_000);
        assert_eq!(alive.check(SILENCE, ANSWER, 2_000), Check::Wait { look_again_ms: 31_000 });
        assert_eq!(alive.check(SILENCE, ANSWER, 31_000), Check::Ping { look_again_ms: 41_000 });
        assert_eq!(alive.check(SILENCE, ANSWER, 35_000), Check::Wait { look_again_ms: 41_000 });
        assert_eq!(alive.check(SILENCE, ANSWER, 41_000), Check::Dead);
    }

    #[test]
    fn a_late_answer_does_not_put_the_next_question_off() {
        let (silence, answer) = (Duration::from_secs(1), Duration::from_secs(20));
        let mut alive = Keepalive::new(0);
        assert_eq!(alive.check(silence, answer, 1_000), Check::Ping { look_again_ms: 2_000 });
        assert_eq!(alive.check(silence, answer, 2_000), Check::Wait { look_again_ms: 3_000 });
        alive.heard(2_500);
        assert_eq!(alive.check(silence, answer, 3_000), Check::Wait { look_again_ms: 3_500 });
        assert_eq!(alive.check(silence, answer, 3_500), Check::Ping { look_again_ms: 4_500 });
    }

    #[test]
    fn any_sign_of_life_counts() {
        let mut alive = Keepalive::new(0);
        assert_eq!(alive.check(SILENCE, ANSWER, 30_000), Check::Ping { look_again_ms: 40_000 });
        alive.heard(39_000);
        assert_eq!(alive.check(SILENCE, ANSWER, 40_000), Check::Wait { look_again_ms: 69_000 });
    }
}
