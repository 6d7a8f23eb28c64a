//! Waiting for room: calls whose instances have as many streams as they take (`max_concurrency`).
//!
//! A call that any instance of its service may have queues for the service; one that only the owner of its key may have
//! queues for that instance, so that neither holds up the other. Queues are bounded by `queue_per_service` each and go in
//! the order of the calls' age; entries of calls that gave up are skipped.

use super::{
    Phase,
    park::{LOOK_MS, is_full},
};
use crate::{
    balance::KeyPull,
    directory::Endpoint,
    error::Error,
    plane::{CallKey, CallRef, Plane},
};
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// Where a call waits for room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Room {
    /// At any instance of the service.
    Service(Arc<str>),
    /// At this instance of the service alone.
    Instance(Arc<str>, Arc<str>),
}

impl Plane {
    /// Where other calls wait for what this one was just given: who comes later goes behind them.
    pub(super) fn room_ahead(&self, key: CallKey, endpoint: &Endpoint) -> Option<Room> {
        let call = self.calls.get(key).filter(|call| !self.full.is_empty() && call.phase != Phase::Parked)?;
        let room = match call.key_pull() {
            _ if call.probe => return None,
            KeyPull::Asks => return None,
            KeyPull::Prefers => Room::Service(endpoint.service.clone()),
            KeyPull::Binds => Room::Instance(endpoint.service.clone(), endpoint.instance.clone()),
        };
        self.full.contains_key(&room).then_some(room)
    }

    /// Queues the call until there is room for another stream.
    pub(super) fn wait_for_room(&mut self, key: CallKey, room: Room) {
        let limit = self.queue_max(key);
        let Some(call) = self.calls.get_mut(key) else { return };
        // Room that another worker thread, or another router, makes is seen by looking again.
        call.patience_ms = self.now_ms + LOOK_MS;
        if call.phase == Phase::Parked && call.room.as_deref() == Some(&room) {
            return self.set_call_timer(key);
        }
        let queue = self.full.entry(room.clone()).or_default();
        if is_full(queue, limit, &self.calls, |call| call.room.as_deref() == Some(&room)) {
            return self.fail(key, Error::queue_full(&room, limit));
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        queue.push_back((key, call.serial));
        if call.phase != Phase::Parked {
            self.metrics.calls_parked.fetch_add(1, Relaxed);
        }
        call.phase = Phase::Parked;
        call.room = Some(Box::new(room));
        self.set_call_timer(key);
    }

    /// A stream at the instance ended: sends the calls that wait for it or for any of its service, oldest first.
    pub(super) fn room_made(&mut self, service: &Arc<str>, instance: &Arc<str>) {
        // What ends while these are served is seen by the loop, or by those that look again: no recursion.
        if self.full.is_empty() || std::mem::replace(&mut self.making_room, true) {
            return;
        }
        self.serve_rooms(service, instance);
        self.making_room = false;
    }

    fn serve_rooms(&mut self, service: &Arc<str>, instance: &Arc<str>) {
        let mut rooms =
            vec![Room::Instance(service.clone(), instance.clone()), Room::Service(service.clone())];
        loop {
            let fronts = rooms.iter().enumerate();
            let fronts: Vec<(u64, usize)> =
                fronts.filter_map(|(at, room)| Some((self.first_waiting(room)?.1, at))).collect();
            let Some(&(_, oldest)) = fronts.iter().min() else { return };
            if !self.serve_first(&rooms[oldest]) {
                rooms.remove(oldest);
            }
        }
    }

    /// A call that waits for room looks again: all before it come first.
    pub(super) fn look_for_room(&mut self, key: CallKey) {
        let Some(room) = self.calls.get(key).and_then(|call| call.room.clone()) else { return };
        while self.first_waiting(&room).is_some() && self.serve_first(&room) {}
        if let Some(call) = self.calls.get_mut(key)
            && call.phase == Phase::Parked
            && call.room.is_some()
        {
            call.patience_ms = self.now_ms + LOOK_MS;
            self.set_call_timer(key);
        }
    }

    /// The call waits for room no more: a queue in which nobody does holds up no one.
    pub(crate) fn leave_room(&mut self, key: CallKey) {
        if let Some(room) = self.calls.get_mut(key).and_then(|call| call.room.take()) {
            self.first_waiting(&room);
        }
    }

    /// The first call that waits there; a queue in which none does is removed.
    fn first_waiting(&mut self, room: &Room) -> Option<CallRef> {
        let queue = self.full.get_mut(room)?;
        while let Some(&(key, serial)) = queue.front() {
            let call = self.calls.get(key).filter(|call| call.serial == serial);
            if call.is_some_and(|call| call.phase == Phase::Parked && call.room.as_deref() == Some(room)) {
                return Some((key, serial));
            }
            queue.pop_front();
        }
        self.full.remove(room);
        None
    }

    /// Resolves the first call that waits there; false if it waits still.
    fn serve_first(&mut self, room: &Room) -> bool {
        let Some(first) = self.first_waiting(room) else { return false };
        self.resolve(first.0);
        self.first_waiting(room) != Some(first)
    }
}
