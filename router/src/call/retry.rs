//! Second attempts after a first: which calls may have one, when, and what they cost. Those beside a first: `hedge.rs`.
//!
//! | why the first failed | who may try again | bound |
//! |---|---|---|
//! | no connection could be made | every call | each instance that can be reached, for `no_endpoint_wait` |
//! | certainly not processed (REFUSED_STREAM, above a GOAWAY) | every call | once, at another instance |
//! | UNAVAILABLE, or the connection was lost, before the first response message | calls declared idempotent by their method (`idempotency_level`) or their service (meta `idempotent=true`) | attempts, budget, back-off |
//!
//! Never: after a response message, beyond the replay cap, against `grpc-retry-pushback-ms` below 0. The budget
//! (gRFC A6, Linkerd) is a token bucket per service: each call earns a fifth of a retry, and three are always there, so
//! that a service that fails entirely is asked at most 1.2 times as often, plus three.

use super::Phase;
use crate::{
    balance::Verdict,
    error::Error,
    plane::{CallKey, Plane, millis},
    route::Target,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use switchboard_http2::Headers;

/// Back-off before attempt n + 1: a random time up to 25 ms x 2^n, at most 250 ms (Envoy's base and cap).
const BACKOFF_BASE_MS: u64 = 25;
const BACKOFF_MAX_MS: u64 = 250;
/// A retry's price, what a call earns, and the most that is saved, in thousandths of a retry.
const PRICE: u64 = 1_000;
const EARNED: u64 = 200;
const SAVED_MAX: u64 = 3_000;
/// UNAVAILABLE.
const UNAVAILABLE: u8 = 14;

/// The retry budget of one service, shared by all worker threads.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU64);

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicU64::new(SAVED_MAX))
    }
}

impl Budget {
    /// A call begins.
    pub(crate) fn deposit(&self) {
        // Two threads at once may lose one fifth of a retry: not worth a loop.
        let saved = self.0.load(Relaxed);
        if saved < SAVED_MAX {
            self.0.store((saved + EARNED).min(SAVED_MAX), Relaxed);
        }
    }

    /// Takes the price of a retry; false if it is not there.
    pub(crate) fn withdraw(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(PRICE)).is_ok()
    }
}

impl Plane {
    /// Whether an answer with these fields, before any message, is to be tried again, and after how many ms.
    pub(crate) fn wants_retry(&mut self, key: CallKey, status: u8, fields: &Headers) -> Option<u64> {
        let call = self.calls.get(key)?;
        if status != UNAVAILABLE || !call.idempotent || !call.replayable || call.started {
            return None;
        }
        if call.is_hedged() {
            // The other attempt is under way already, and goes on whatever this one says.
            return Some(0);
        }
        let pushback = match fields.get(b"grpc-retry-pushback-ms") {
            // Anything but a number of ms means: do not try again (gRFC A6).
            Some(value) => Some(str::from_utf8(value).ok()?.parse::<u64>().ok()?),
            None => None,
        };
        self.may_retry(key, pushback)
    }

    /// Whether attempts, budget and deadline allow another one, and after how many ms. Takes from the budget.
    fn may_retry(&mut self, key: CallKey, pushback_ms: Option<u64>) -> Option<u64> {
        let call = self.calls.get(key)?;
        if call.attempts >= self.config.retry_attempts {
            return None;
        }
        let most = (BACKOFF_BASE_MS << call.attempts.min(8)).min(BACKOFF_MAX_MS);
        let wait = pushback_ms.unwrap_or_else(|| self.rng.below(most as usize + 1) as u64);
        if call.deadline_ms <= self.now_ms.saturating_add(wait) {
            return None;
        }
        let service = self.directory.services.get(call.service.as_ref()?)?;
        if !service.usage.retries.withdraw() {
            self.metrics.retries_over_budget_total.fetch_add(1, Relaxed);
            return None;
        }
        Some(wait)
    }

    /// Sends the call again after a pause, at another instance if there is one.
    pub(crate) fn retry_after(&mut self, key: CallKey, wait_ms: u64) {
        if self.give_way(key, Verdict::Bad) {
            return;
        }
        self.judge(key, Verdict::Bad);
        self.prepare_retry(key);
        let Some(call) = self.calls.get_mut(key) else { return };
        call.phase = Phase::Backoff;
        call.patience_ms = self.now_ms + wait_ms;
        self.set_call_timer(key);
    }

    /// Gives a call that was not processed, or may be sent twice, to another instance; otherwise answers with the error.
    pub(crate) fn retry_or_fail(&mut self, key: CallKey, error: Error) {
        if self.give_way(key, if error.blames_instance { Verdict::Bad } else { Verdict::None }) {
            return;
        }
        let Some(call) = self.calls.get(key) else { return };
        let can = call.replayable && !call.started;
        if can && error.unprocessed && call.first_error.is_none() {
            if let Some(call) = self.calls.get_mut(key) {
                call.first_error = Some(Box::new(error));
            }
            self.prepare_retry(key);
            return self.resolve(key);
        }
        if can
            && call.idempotent
            && let Some(wait) = self.may_retry(key, None)
        {
            if let Some(call) = self.calls.get_mut(key) {
                call.first_error = Some(Box::new(error));
            }
            return self.retry_after(key, wait);
        }
        self.fail(key, error);
    }

    /// The call's instance could not be connected to, so nobody has seen anything of it: any instance that can be
    /// reached may have it, and if there is none now, the first that comes.
    pub(crate) fn unreached(&mut self, key: CallKey, error: Error) {
        let until_ms = self.now_ms + millis(self.config.no_endpoint_wait);
        let Some(call) = self.calls.get_mut(key) else { return };
        if matches!(call.target, Some(Target::Local)) {
            return self.retry_or_fail(key, error);
        }
        if call.phase == Phase::Forwarding {
            // Only its hedge waited for the connection.
            return self.drop_other(key);
        }
        if call.unreached_until_ms == 0 {
            call.unreached_until_ms = until_ms;
            self.metrics.retries_total.fetch_add(1, Relaxed);
        }
        call.first_error = Some(Box::new(error));
        call.failed_at = None;
        self.leave_upstream(key);
        self.resolve(key);
    }

    fn prepare_retry(&mut self, key: CallKey) {
        let failed_at = self.calls.get(key).and_then(|call| call.load.clone());
        if let Some(load) = &failed_at {
            self.recorder.attempt_failed(load);
        }
        self.leave_upstream(key);
        let Some(call) = self.calls.get_mut(key) else { return };
        call.failed_at = failed_at;
        call.moved = 0;
        self.metrics.retries_total.fetch_add(1, Relaxed);
    }

    /// No second instance: an idempotent call tries the first again, others get the first attempt's error.
    pub(crate) fn fail_attempt(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if std::mem::take(&mut call.may_return) || (call.idempotent && call.phase == Phase::Backoff) {
            call.failed_at = None;
            return self.resolve(key);
        }
        self.fail_as_first(key);
    }

    /// Ends the call with its first attempt's error.
    pub(super) fn fail_as_first(&mut self, key: CallKey) {
        match self.calls.get_mut(key).and_then(|call| call.first_error.take()) {
            Some(error) => self.fail(key, *error),
            None => self.fail_without_instance(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_always_fails_is_asked_at_most_a_fifth_more() {
        let budget = Budget::default();
        let retries = (0..1_000)
            .filter(|_| {
                budget.deposit();
                budget.withdraw()
            })
            .count();
        assert!((195..=203).contains(&retries), "{retries}");
    }
}
