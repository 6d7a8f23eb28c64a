//! Waiting for the directory, and for an instance that can be reached.
//!
//! A call that the directory cannot serve is parked under its look-up, which is asked once for all of them; the next
//! snapshot, or the answer that there is none, ends the wait. A call whose instances could all not be connected to is
//! parked likewise: the registry may know of others by now, and the same ones may be back when their back-off is over.
//!
//! The queues hold calls by key and serial number, are bounded by `queue_per_service` (or the service's own `max_queue`),
//! and keep the entries of calls that gave up until they are looked at.

use super::{Call, Phase};
use crate::{
    directory::{Directory, Service},
    error::{Error, Reason},
    link::Lookup,
    plane::{CallKey, CallRef, Command, Plane},
    route::Target,
};
use slab::Slab;
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// How often a call that waits for an instance looks whether another thread made room at one, or found one that can be
/// reached.
pub(super) const LOOK_MS: u64 = 50;

impl Plane {
    /// Has the call wait for the directory, and asks the control plane unless that was done.
    pub(super) fn park(&mut self, key: CallKey, lookup: Lookup, patience_ms: u64) {
        self.leave_room(key);
        let limit = self.queue_max(key);
        let waiting = self.parked.entry(lookup.clone()).or_default();
        if is_full(waiting, limit, &self.calls, |call| call.phase == Phase::Parked && call.room.is_none()) {
            if self.calls.get(key).is_some_and(|call| call.first_error.is_some()) {
                return self.fail_as_first(key);
            }
            let message = format!("{limit} calls wait for this service already: call again");
            return self.fail(key, Error::limit(Reason::PARKED_FULL, message));
        }
        let first = waiting.is_empty();
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.phase != Phase::Parked {
            self.metrics.calls_parked.fetch_add(1, Relaxed);
        }
        call.phase = Phase::Parked;
        call.patience_ms = patience_ms;
        waiting.push_back((key, call.serial));
        let known = knows(&self.directory, &lookup);
        if first && !known {
            self.command(Command::Lookup(lookup));
        }
        self.set_call_timer(key);
    }

    /// Parks a call that none of the service's instances could be reached for, and has the registry asked again.
    pub(super) fn wait_for_reachable(&mut self, key: CallKey, service: &Service) {
        if self.calls.get(key).is_some_and(|call| self.now_ms >= call.unreached_until_ms) {
            return self.fail_as_first(key);
        }
        let lookup = Lookup::Service(service.name.clone());
        if service.usage.may_reread(self.now_ms) {
            self.command(Command::Lookup(lookup.clone()));
        }
        self.park(key, lookup, self.now_ms + LOOK_MS);
    }

    /// Looks again for a call that no instance could be reached for.
    pub(super) fn look_for_reachable(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let known = call.service.as_ref().and_then(|name| self.directory.services.get(name)).cloned();
        if self.now_ms >= call.unreached_until_ms {
            return self.fail_as_first(key);
        }
        call.patience_ms = self.now_ms + LOOK_MS;
        let wanted = call.wanted();
        if let Some(service) = known {
            if service.endpoints.iter().any(|endpoint| wanted.allows(endpoint, self.now_ms)) {
                // All that wait for it, so that none has two entries once it waits again.
                let calls = self.parked.remove(&Lookup::Service(service.name.clone()));
                return self.wake(calls.unwrap_or_default());
            }
            if service.usage.may_reread(self.now_ms) {
                self.command(Command::Lookup(Lookup::Service(service.name.clone())));
            }
        }
        self.set_call_timer(key);
    }

    /// Resolves calls that were parked together.
    fn wake(&mut self, calls: VecDeque<CallRef>) {
        for call in calls {
            // An earlier one's end may have served it already.
            if self.is_parked(call) {
                self.resolve(call.0);
            }
        }
    }

    /// Whether the call still waits: it may have ended, and its key may be another's now.
    fn is_parked(&self, (key, serial): CallRef) -> bool {
        self.calls.get(key).is_some_and(|call| call.serial == serial && call.phase == Phase::Parked)
    }

    /// A new directory: retires pools of instances that left, and resolves parked calls again.
    pub(crate) fn swap_directory(&mut self, directory: Arc<Directory>) {
        let before = std::mem::replace(&mut self.directory, directory);
        self.refreshing.clear();
        self.retire_pools();
        for (lookup, mut calls) in std::mem::take(&mut self.parked) {
            calls.retain(|&call| self.is_parked(call));
            if knows(&self.directory, &lookup) {
                self.wake(calls);
            } else if !calls.is_empty() {
                // While the directory held it, nobody had to ask for it.
                if knows(&before, &lookup) {
                    self.command(Command::Lookup(lookup.clone()));
                }
                self.parked.insert(lookup, calls);
            }
        }
    }

    /// The registry does not know it, but IDs that are near.
    pub(crate) fn lookup_missing(&mut self, lookup: &Lookup, nearest: &[String]) {
        for call in self.parked.remove(lookup).unwrap_or_default() {
            if !self.is_parked(call) {
                continue;
            }
            if self.calls.get(call.0).is_some_and(|call| call.first_error.is_some()) {
                // It was known when the call was sent there.
                self.fail_as_first(call.0);
                continue;
            }
            let error = match (lookup, self.calls.get(call.0).and_then(|call| call.target.as_ref())) {
                (Lookup::Service(service), Some(Target::Id { id, .. })) => {
                    Error::unknown_id(id, service, nearest)
                }
                (Lookup::Service(service), _) => Error::no_instance(service, 0, None),
                (Lookup::GrpcService(name), _) => Error::unknown_grpc_service(name),
            };
            self.fail(call.0, error);
        }
    }

    /// The registry cannot be asked.
    pub(crate) fn lookup_failed(&mut self, lookup: &Lookup, why: &str) {
        let (Lookup::Service(name) | Lookup::GrpcService(name)) = lookup;
        for call in self.parked.remove(lookup).unwrap_or_default() {
            if !self.is_parked(call) {
                continue;
            }
            match self.calls.get(call.0).is_some_and(|call| call.unreached_until_ms > 0) {
                // An instance may still come back where it was.
                true => self.parked.entry(lookup.clone()).or_default().push_back(call),
                false => self.fail(call.0, Error::registry_unreachable(name, why)),
            }
        }
    }

    /// Ends a call whose service has no instance that may be picked, with what is known of it.
    pub(super) fn fail_without_instance(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let name = call.service.clone().unwrap_or_else(|| "router".into());
        let known = self.directory.services.get(&name).map_or(0, |service| service.known);
        let error = Error::no_instance(&name, known, call.wanted().version);
        self.fail(key, error);
    }
}

/// Whether a queue has as many entries as it may; entries of calls that gave up make room first.
pub(crate) fn is_full(
    queue: &mut VecDeque<CallRef>,
    limit: usize,
    calls: &Slab<Call>,
    waits: impl Fn(&Call) -> bool,
) -> bool {
    if queue.len() >= limit {
        queue
            .retain(|&(key, serial)| calls.get(key).is_some_and(|call| call.serial == serial && waits(call)));
    }
    queue.len() >= limit
}

/// Whether the directory answers the look-up.
fn knows(directory: &Directory, lookup: &Lookup) -> bool {
    match lookup {
        Lookup::Service(name) => directory.services.contains_key(name),
        Lookup::GrpcService(name) => directory.grpc_services.contains_key(name),
    }
}
