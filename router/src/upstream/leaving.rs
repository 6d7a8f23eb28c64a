//! Instances that left the directory: they get no new call, and keep those that they have.
//!
//! An instance leaves when it is deregistered or its check fails. Its calls go on for as long as they like, or for
//! `drain_streams_after`; then each ends with a status that tells its client to call again (complaint 21). If the
//! instance comes back before that, nothing has happened. A pool ends with the last call and the last connection.

use super::pool::LOCAL;
use crate::{
    balance::{Rng, Verdict},
    call::Phase,
    error::Error,
    plane::{CallKey, Plane, millis},
};
use std::collections::HashSet;
use switchboard_http2::ErrorCode;

/// Share of `drain_streams_after` that is added at random, so that the clients of an instance do not all call again at
/// the same moment.
const SPREAD: f64 = 0.1;

impl Plane {
    /// Retires the pools of instances that are in the directory no more, and takes back those that came back.
    pub(crate) fn retire_pools(&mut self) {
        let present: HashSet<usize> = self
            .directory
            .services
            .values()
            .flat_map(|service| &service.endpoints)
            .map(|endpoint| endpoint.load.number())
            .chain([LOCAL.load.number()])
            .collect();
        let concerned = self.pools.iter().filter(|(key, pool)| pool.retired || !present.contains(key));
        let mut concerned: Vec<usize> = concerned.map(|(key, _)| *key).collect();
        // In order, so that a run can be repeated.
        concerned.sort_unstable();
        for key in concerned {
            let Some(pool) = self.pools.get_mut(&key) else { continue };
            let was_retired = std::mem::replace(&mut pool.retired, !present.contains(&key));
            match (was_retired, pool.retired) {
                (false, true) => self.instance_left(key),
                (true, false) => self.instance_is_back(key),
                _ => {}
            }
            self.close_if_retired(key);
        }
    }

    /// Gives the calls of an instance that left their time, if they have one.
    fn instance_left(&mut self, pool_key: usize) {
        let Some(pool) = self.pools.get_mut(&pool_key) else { return };
        // A service that the directory has dropped because nobody calls it has not lost its instances, and one that is
        // read again after that has the same ones.
        let Some(service) = self.directory.services.get(&pool.endpoint.service) else { return };
        let left = &pool.endpoint;
        if service.endpoints.iter().any(|here| (&here.instance, here.addr) == (&left.instance, left.addr)) {
            return;
        }
        let own = service.limits.as_ref().and_then(|limits| limits.drain_streams_after);
        let after_ms = millis(own.unwrap_or(self.config.drain_streams_after));
        if after_ms == 0 {
            return;
        }
        pool.ends = true;
        let now_ms = self.now_ms;
        self.set_leave(pool_key, |rng| now_ms + spread(after_ms, rng.fraction()));
    }

    /// Lets the calls of an instance that came back go on.
    fn instance_is_back(&mut self, pool_key: usize) {
        let Some(pool) = self.pools.get_mut(&pool_key) else { return };
        if !std::mem::take(&mut pool.ends) {
            return;
        }
        self.set_leave(pool_key, |_| u64::MAX);
    }

    fn set_leave(&mut self, pool_key: usize, at_ms: impl Fn(&mut Rng) -> u64) {
        let mut changed = Vec::new();
        for (key, call) in &mut self.calls {
            if let Some(leave_ms) = call.leave_ms_at(pool_key) {
                *leave_ms = at_ms(&mut self.rng);
                changed.push(key);
            }
        }
        for key in changed {
            self.set_call_timer(key);
        }
    }

    /// The time of a call at an instance that left is over.
    pub(crate) fn leave_instance(&mut self, key: CallKey) {
        if self.give_way(key, Verdict::None) {
            return;
        }
        let (service, instance) = self.instance_of(key);
        let queued = self.calls.get(key).is_some_and(|call| call.phase == Phase::Queued);
        let error = Error::instance_drained(&service, &instance, queued);
        match queued {
            // It never got there.
            true => self.retry_or_fail(key, error),
            false => self.fail(key, error),
        }
    }

    /// Closes the connections of a retired pool that have no stream, and ends the pool with its last one.
    pub(super) fn close_if_retired(&mut self, pool_key: usize) {
        let Some(pool) = self.pools.get(&pool_key) else { return };
        if !pool.retired || !pool.waiting.is_empty() {
            return;
        }
        for key in pool.conns.clone() {
            if let Some(conn) = self.conn(key)
                && conn.http2.open_streams() == 0
            {
                conn.http2.goaway(ErrorCode::NO_ERROR, b"");
                conn.closing = true;
                self.detach_upstream(key);
                self.linger_until_closed(key);
                self.mark(key);
            }
        }
        // Calls may go on at connections that announced their end, and want to know whether the instance comes back.
        if self
            .pools
            .get(&pool_key)
            .is_some_and(|pool| pool.conns.is_empty() && pool.endpoint.load.open() == 0)
        {
            self.pools.remove(&pool_key);
        }
    }
}

/// Milliseconds until a call ends; `fraction` of 0..1 says how much is added.
fn spread(after_ms: u64, fraction: f64) -> u64 {
    after_ms.saturating_add((after_ms as f64 * SPREAD * fraction) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_get_their_whole_time_and_at_most_a_tenth_more() {
        assert_eq!([0.0, 0.5, 0.999].map(|fraction| spread(60_000, fraction)), [60_000, 63_000, 65_994]);
    }
}
