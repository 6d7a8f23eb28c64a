//! Whether a failure is worth another attempt, and when (gRFC A6, without hedging).
//!
//! | Failure | idempotent call | other call |
//! |---|---|---|
//! | nothing was processed (no connection, refused stream) | again | again |
//! | UNAVAILABLE, the connection broke | again | never |
//! | anything else | never | never |
//!
//! The server has the last word on time: `grpc-retry-pushback-ms` replaces the back-off, and a negative
//! or unreadable value forbids another attempt; `RetryInfo` is a lower bound for the back-off.

use std::num::NonZeroU32;
use std::time::Duration;

use rand::{Rng, RngExt};
use tonic::Code;

use crate::Error;

/// The most that a server may make a client wait. A longer delay ends the attempts: a person, or the
/// caller's own schedule, is then the better judge.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often and how fast a failed call is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts including the first; 1 switches retries off. Default 3.
    pub max_attempts: NonZeroU32,
    /// Upper bound of the first wait; doubles with each attempt. Default 100 ms.
    pub base: Duration,
    /// Upper bound of every wait that the client chooses itself. Default 5 s.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroU32::new(3).expect("3 is not zero"),
            base: Duration::from_millis(100),
            cap: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// Never tries again.
    pub fn never() -> Self {
        Self { max_attempts: NonZeroU32::MIN, ..Self::default() }
    }

    /// Returns how long to wait before the next attempt, or `None` to give up.
    ///
    /// `attempts` counts those already made, so it is at least 1.
    pub(crate) fn wait(
        &self,
        error: &Error,
        idempotent: bool,
        attempts: u32,
        random: &mut impl Rng,
    ) -> Option<Duration> {
        if attempts >= self.max_attempts.get() {
            return None;
        }
        if error.tls_failure().is_some() {
            // Certificates do not become better within seconds.
            return None;
        }
        let repeatable =
            error.nothing_processed() || (idempotent && (error.code() == Code::Unavailable || error.lost()));
        if !repeatable {
            return None;
        }
        let wait = match pushback(error) {
            Some(pushed) => pushed?,
            None => self.backoff(attempts, random).max(error.retry_delay().unwrap_or_default()),
        };
        (wait <= LONGEST_WAIT).then_some(wait)
    }

    /// Full jitter: uniform in `0..=min(cap, base * 2^(attempts - 1))`, so that clients which failed
    /// together do not return together.
    pub(crate) fn backoff(&self, attempts: u32, random: &mut impl Rng) -> Duration {
        let factor = 2u32.saturating_pow(attempts.saturating_sub(1));
        let bound = self.base.saturating_mul(factor).min(self.cap);
        bound.mul_f64(random.random_range(0.0..=1.0))
    }
}

/// The server's own word: `None` if it said nothing, `Some(None)` if it forbade another attempt.
fn pushback(error: &Error) -> Option<Option<Duration>> {
    let value = error.status()?.metadata().get("grpc-retry-pushback-ms")?;
    let millis = value.to_str().ok().and_then(|text| text.parse::<i64>().ok());
    Some(millis.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use switchboard_proto::rpc;
    use tonic::metadata::MetadataMap;
    use tonic::{Code, Status};

    use super::*;

    fn random() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    fn answered(code: Code) -> Error {
        Error::from_status(Status::new(code, "x"), "http://r", None)
    }

    fn pushed(value: &'static str) -> Error {
        let mut trailers = MetadataMap::new();
        trailers.insert("grpc-retry-pushback-ms", value.parse().unwrap());
        Error::from_status(Status::with_metadata(Code::Unavailable, "x", trailers), "http://r", None)
    }

    /// UNAVAILABLE in the router's words.
    fn explained(reason: &str, retry_after: Option<Duration>) -> Error {
        let details = rpc::Status::new(14, "x", reason, [], retry_after).encode_to_vec();
        Error::from_status(Status::with_details(Code::Unavailable, "x", details.into()), "http://r", None)
    }

    fn refused() -> Error {
        Error::Connect { endpoint: "http://r".into(), cause: "connection refused".into(), tls: None }
    }

    #[test]
    fn only_unavailable_is_repeated_and_only_for_idempotent_calls() {
        let policy = RetryPolicy::default();
        for (error, idempotent, again) in [
            (answered(Code::Unavailable), true, true),
            (answered(Code::Unavailable), false, false),
            (answered(Code::ResourceExhausted), true, false),
            (answered(Code::Internal), true, false),
            (answered(Code::DeadlineExceeded), true, false),
            (Error::Deadline { after: Duration::from_secs(1) }, true, false),
            (refused(), true, true),
            (refused(), false, true),
            (explained("CONNECT_FAILED", None), false, true),
            (explained("CONNECTION_LOST", None), false, false),
        ] {
            let wait = policy.wait(&error, idempotent, 1, &mut random());
            assert_eq!(wait.is_some(), again, "{error} idempotent={idempotent}");
        }
    }

    #[test]
    fn attempts_are_bounded() {
        let policy = RetryPolicy::default();
        assert!(policy.wait(&refused(), true, 2, &mut random()).is_some());
        assert_eq!(policy.wait(&refused(), true, 3, &mut random()), None);
        assert_eq!(RetryPolicy::never().wait(&refused(), true, 1, &mut random()), None);
    }

    #[test]
    fn back_off_doubles_up_to_its_cap_with_full_jitter() {
        let policy = RetryPolicy { max_attempts: NonZeroU32::MAX, ..RetryPolicy::default() };
        let mut random = random();
        for (attempts, bound_ms) in [(1, 100), (2, 200), (3, 400), (6, 3_200), (7, 5_000), (4_000, 5_000)] {
            let bound = Duration::from_millis(bound_ms);
            let waits: Vec<_> = (0..200)
                .map(|_| policy.wait(&answered(Code::Unavailable), true, attempts, &mut random).unwrap())
                .collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "attempt {attempts}");
            assert!(waits.iter().any(|wait| *wait > bound / 2), "attempt {attempts} never waits long");
            assert!(waits.iter().any(|wait| *wait < bound / 2), "attempt {attempts} has no jitter");
        }
    }

    #[test]
    fn pushback_replaces_the_back_off() {
        let policy = RetryPolicy::default();
        let wait = |error: &Error| policy.wait(error, true, 1, &mut random());
        assert_eq!(wait(&pushed("1234")), Some(Duration::from_millis(1234)));
        assert_eq!(wait(&pushed("0")), Some(Duration::ZERO));
        for forbidden in ["-1", "soon", "", "9999999999999999999999", "30001"] {
            assert_eq!(wait(&pushed(forbidden)), None, "{forbidden:?}");
        }
        assert_eq!(policy.wait(&pushed("10"), false, 1, &mut random()), None);
    }

    #[test]
    fn retry_info_is_a_lower_bound() {
        let error = explained("NO_HEALTHY_INSTANCE", Some(Duration::from_secs(2)));
        let wait = RetryPolicy::default().wait(&error, true, 1, &mut random());
        assert_eq!(wait, Some(Duration::from_secs(2)));
    }
}
