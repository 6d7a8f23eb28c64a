//! Hedging: a second instance is asked as well when the first is slow to answer, and the first answer is the call's.
//!
//! | rule | reason |
//! |---|---|
//! | only services that ask for it (meta `hedge`), and of those only calls that are declared idempotent | complaint 71 |
//! | only calls without an affinity key | the key's owner may hold what the call is about, and nobody else |
//! | only the first attempt, while the request is complete and held and no message of the response has come | what was sent is what is sent again, and a message commits |
//! | one extra, at another instance that nothing speaks against, paid from the retry budget | a slow service must not get twice its calls |
//! | the delay is fixed, or what 19 of 20 first answers stay below | gRFC A6; Dean and Barroso, The Tail at Scale |
//!
//! The first message decides, and so does the end of a response with any status but UNAVAILABLE. UNAVAILABLE, a reset, a
//! lost connection decide nothing while the other attempt is under way: it is waited for. The loser's stream is reset with
//! CANCEL, which says nothing of its instance, except that it has been silent for so long.
//!
//! Of the two attempts one is in front: the call's own fields describe it, and [`Attempt`] the other. Each event of a
//! stream first brings its attempt to the front ([`Plane::turn_to`]), so that all that handles events knows of one only.

use super::{Call, Phase};
use crate::{
    balance::{self, Among, Picked, Verdict, Wanted},
    directory::{Hedge, Load},
    plane::{CallKey, ConnKey, Plane, millis},
};
use std::{
    mem::swap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use switchboard_http2::{Headers, StreamId};

/// Delay until a service's own is known (defaults.md 4.3, from mcp-proxy).
const DELAY_FIRST_US: u64 = 200_000;
/// Shortest tracked delay: below it, scheduling decides who is slow.
const DELAY_MIN_US: u64 = 10_000;
/// Steps of [`Delay`], in thousandths: one up weighs as much as 19 down, so it rests where one answer in 20 is later. At
/// this size it follows a change within some hundred answers, and one late answer moves it by a tenth.
const STEP_UP: u64 = 95;
const STEP_DOWN: u64 = 5;

/// What 19 of 20 first answers of a service stay below: a stochastic approximation of the 95th percentile (Robbins and
/// Monro 1951), so of each answer it has to know only whether it was later. An attempt that lost against its hedge was.
#[derive(Debug)]
pub(crate) struct Delay(AtomicU64);

impl Default for Delay {
    fn default() -> Self {
        Delay(AtomicU64::new(DELAY_FIRST_US))
    }
}

impl Delay {
    fn note(&self, answer_us: u64) {
        // Two threads at once may lose a step: not worth a loop.
        let old = self.0.load(Relaxed);
        let new = match answer_us > old {
            true => old.saturating_add((old / 1_000).saturating_mul(STEP_UP)),
            false => old - old / 1_000 * STEP_DOWN,
        };
        self.0.store(new.max(DELAY_MIN_US), Relaxed);
    }

    /// The delay of a call of the service, in ms, at least 1.
    pub(super) fn ms(&self, hedge: Hedge) -> u32 {
        let ms = match hedge {
            Hedge::After(delay) => millis(delay),
            Hedge::Tracked => self.0.load(Relaxed) / 1_000,
        };
        u32::try_from(ms).unwrap_or(u32::MAX).max(1)
    }
}

/// The attempt that is not in front, with the meaning that its fields have in [`Call`].
#[derive(Debug)]
pub(crate) struct Attempt {
    /// `None`: it waits for a stream.
    pub(crate) up: Option<(ConnKey, StreamId)>,
    pub(crate) load: Option<Arc<Load>>,
    pool: Option<usize>,
    probe: bool,
    is_hedge: bool,
    opened_us: u64,
    early: Option<Box<Headers>>,
    leave_ms: u64,
}

impl Call {
    /// Whether it waits for a stream of the instance of that pool.
    pub(crate) fn waits_at(&self, pool: usize) -> bool {
        match &self.other {
            Some(other) if self.phase == Phase::Forwarding => other.up.is_none() && other.pool == Some(pool),
            _ => self.phase == Phase::Queued && self.pool == Some(pool),
        }
    }

    fn swap_attempts(&mut self) {
        let Some(other) = self.other.as_deref_mut() else { return };
        swap(&mut self.up, &mut other.up);
        swap(&mut self.load, &mut other.load);
        swap(&mut self.pool, &mut other.pool);
        swap(&mut self.probe, &mut other.probe);
        swap(&mut self.is_hedge, &mut other.is_hedge);
        swap(&mut self.opened_us, &mut other.opened_us);
        swap(&mut self.early, &mut other.early);
        swap(&mut self.leave_ms, &mut other.leave_ms);
    }

    /// When its attempt at the instance of that pool ends, if it has one there.
    pub(crate) fn leave_ms_at(&mut self, pool: usize) -> Option<&mut u64> {
        match self.other.as_deref_mut() {
            _ if self.pool == Some(pool) => Some(&mut self.leave_ms),
            Some(other) if other.pool == Some(pool) => Some(&mut other.leave_ms),
            _ => None,
        }
    }

    /// Whether another attempt has a stream as well.
    pub(super) fn is_hedged(&self) -> bool {
        self.other.as_ref().is_some_and(|other| other.up.is_some())
    }
}

impl Plane {
    /// The first attempt is slow: asks a second instance, if the rules allow it.
    pub(super) fn hedge(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.patience_ms = u64::MAX;
        let sendable = call.client_done && call.replayable && !call.started;
        if sendable && call.attempts < self.config.retry_attempts {
            self.ask_another(key);
        }
        self.set_call_timer(key);
    }

    fn ask_another(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let service = call.service.as_ref().and_then(|name| self.directory.services.get(name)).cloned();
        let Some(service) = service else { return };
        let wanted = Wanted { except: call.load.as_ref(), among: Among::Fit, ..call.wanted() };
        let picked = balance::pick(&service, wanted, self.now_ms, &mut self.rng);
        let Picked::Endpoint { endpoint, probe } = picked else { return };
        // Calls that wait for room come first: they have no instance at all.
        if self.room_ahead(key, endpoint).is_some() {
            return;
        }
        if !service.usage.retries.withdraw() {
            self.metrics.hedges_over_budget_total.fetch_add(1, Relaxed);
            return;
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        endpoint.load.opened();
        call.other = Some(Box::new(Attempt {
            up: None,
            load: Some(endpoint.load.clone()),
            pool: Some(endpoint.load.number()),
            probe,
            is_hedge: true,
            opened_us: 0,
            early: None,
            leave_ms: u64::MAX,
        }));
        if !self.join_pool(key, endpoint.clone()) {
            self.drop_other(key);
        }
    }

    /// Opens the stream of a hedge.
    pub(crate) fn open_hedge(&mut self, key: CallKey, conn_key: ConnKey) {
        let (now_us, now_ms) = (self.now_us, self.now_ms);
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(Some(conn)) = self.conns.get_mut(conn_key) else { return };
        let Ok((stream, _)) = call.send_on(&mut conn.http2, key, now_ms) else {
            return self.drop_other(key);
        };
        call.attempts += 1;
        if let Some(other) = call.other.as_deref_mut() {
            (other.up, other.opened_us) = (Some((conn_key, stream)), now_us);
        }
        self.metrics.hedges_total.fetch_add(1, Relaxed);
        self.stream_opened(conn_key);
    }

    /// Brings the attempt to the front that the stream belongs to.
    pub(crate) fn turn_to(&mut self, key: CallKey, up: (ConnKey, StreamId)) {
        if let Some(call) = self.calls.get_mut(key)
            && call.other.is_some()
            && call.up != Some(up)
        {
            call.swap_attempts();
            self.set_call_timer(key);
        }
    }

    /// The attempt in front has answered: what the other one would have said is of no use any more.
    pub(crate) fn decided(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let Some(other) = call.other.as_deref() else { return };
        if call.is_hedge {
            self.metrics.hedges_won_total.fetch_add(1, Relaxed);
        }
        let waited_us = self.now_us.saturating_sub(other.opened_us);
        if other.up.is_some() && !other.is_hedge {
            self.note_answer(call, waited_us);
        }
        // Its answer would have taken longer than that: an instance that always loses must not look fast.
        if let Some(load) = &other.load
            && other.up.is_some()
            && other.early.is_none()
            && waited_us as f64 > load.latency_us(self.now_ms)
        {
            load.responded(waited_us, self.now_ms);
        }
        self.drop_other(key);
    }

    /// The attempt in front has failed, and the other one has a stream: the call goes on with that. False if not.
    pub(crate) fn give_way(&mut self, key: CallKey, verdict: Verdict) -> bool {
        if !self.calls.get(key).is_some_and(Call::is_hedged) {
            return false;
        }
        self.judge(key, verdict);
        if let Some(call) = self.calls.get_mut(key) {
            call.swap_attempts();
        }
        self.drop_other(key);
        // Its time to leave an instance may be another one.
        self.set_call_timer(key);
        true
    }

    /// Ends the attempt that is not in front. It says nothing of its instance.
    pub(crate) fn drop_other(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(other) = call.other.take() else { return };
        if let Some(load) = &other.load {
            load.ended(Verdict::None, other.probe, self.now_ms, 0, || false);
            load.closed();
        }
        if let Some((conn, stream)) = other.up {
            self.reset_upstream(conn, stream);
        }
        if let Some(pool) = other.pool {
            self.left_pool(pool);
        }
    }

    /// Has the service's delay follow the time of a first answer.
    pub(crate) fn note_answer(&self, call: &Call, answer_us: u64) {
        let service = call.service.as_ref().and_then(|name| self.directory.services.get(name));
        if let Some(service) = service.filter(|service| service.hedge == Some(Hedge::Tracked)) {
            service.usage.answers.note(answer_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Rng;
    use std::time::Duration;

    #[test]
    fn the_delay_rests_where_one_answer_in_twenty_is_later() {
        let (delay, mut rng) = (Delay::default(), Rng::new(7));
        assert_eq!(delay.ms(Hedge::Tracked), 200);
        // Evenly 0..100 ms: the 95th percentile is 95 ms.
        let (mut later, mut seen) = (0, Vec::new());
        for call in 0..40_000 {
            let answer_us = rng.below(100_000) as u64;
            if call >= 20_000 {
                later += u32::from(answer_us > delay.0.load(Relaxed));
                seen.push(delay.0.load(Relaxed));
            }
            delay.note(answer_us);
        }
        assert!((900..1_100).contains(&later), "{later} of 20000");
        seen.sort_unstable();
        assert!((90_000..100_000).contains(&seen[seen.len() / 2]), "{}", seen[seen.len() / 2]);
    }

    #[test]
    fn the_delay_has_a_floor_and_follows_a_service_that_slows_down() {
        let delay = Delay::default();
        (0..2_000).for_each(|_| delay.note(1_000));
        assert_eq!(delay.ms(Hedge::Tracked), 10);
        assert_eq!(delay.ms(Hedge::After(Duration::from_millis(3))), 3);
        (0..100).for_each(|_| delay.note(2_000_000));
        assert!((1_900..2_200).contains(&delay.ms(Hedge::Tracked)), "{}", delay.ms(Hedge::Tracked));
    }
}
