//! Streams and their credit: who is woken for what.
//!
//! A stream that is read takes what is best in its queues. If there is nothing, and its worker has credit, it parks in
//! all of its queues; an attempt that comes wakes one that is parked. A stream without credit does not park, and is woken when its worker
//! answers. One that is woken in vain passes on, so no attempt waits while somebody could take it.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::table::Table;
use crate::attempt::Attempt;

/// A stream of a worker.
#[derive(Debug)]
pub(super) struct Stream {
    worker: String,
    queues: Vec<String>,
    max_in_flight: usize,
    wake: Arc<Notify>,
    /// With which it is parked in its queues.
    ticket: Option<u64>,
}

/// What a stream finds.
#[derive(Debug)]
pub(super) enum Found {
    Task(Arc<Attempt>),
    /// Wait to be woken.
    Nothing,
    /// The stream is over.
    End,
}

impl Table {
    /// Enters a stream, and gives its number.
    pub(super) fn open(
        &mut self,
        worker: &str,
        queues: Vec<String>,
        max_in_flight: usize,
        wake: Arc<Notify>,
    ) -> u64 {
        let number = self.number();
        for queue in &queues {
            self.queues.entry(queue.clone()).or_default().streams += 1;
        }
        self.workers.entry(worker.to_owned()).or_default().streams.push(number);
        let stream = Stream { worker: worker.to_owned(), queues, max_in_flight, wake, ticket: None };
        self.streams.insert(number, stream);
        number
    }

    /// Gives a stream its next task, or parks it.
    pub(super) fn take(&mut self, number: u64, until: Instant) -> Found {
        self.unpark(number);
        if self.closed {
            return Found::End;
        }
        let Some(stream) = self.streams.get(&number) else { return Found::End };
        let has_credit =
            self.workers.get(&stream.worker).is_none_or(|worker| worker.leased < stream.max_in_flight);
        if !has_credit {
            let queues = stream.queues.clone();
            self.pass_on(&queues);
            return Found::Nothing;
        }
        let first = |queue: &String| {
            let (place, id) = self.queues.get(queue)?.waiting.first_key_value()?;
            Some((*place, id.clone()))
        };
        let best = stream.queues.iter().filter_map(first).min_by_key(|(place, _)| *place);
        let Some((_, id)) = best else {
            self.park(number);
            return Found::Nothing;
        };
        let worker = stream.worker.clone();
        self.lease(&id, &worker, until).map_or(Found::Nothing, Found::Task)
    }

    /// Forgets a stream; its leases go on.
    pub(super) fn close_stream(&mut self, number: u64) {
        self.unpark(number);
        let Some(stream) = self.streams.remove(&number) else { return };
        for queue in &stream.queues {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.streams -= 1;
            }
            self.drop_idle(queue);
        }
        if let Some(worker) = self.workers.get_mut(&stream.worker) {
            worker.streams.retain(|other| *other != number);
            if worker.leased == 0 && worker.streams.is_empty() {
                self.workers.remove(&stream.worker);
            }
        }
        // It may have been woken for something that it did not take.
        self.pass_on(&stream.queues);
    }

    /// Takes a lease off a worker, and wakes its streams: one may have waited for the credit.
    pub(super) fn credit(&mut self, name: &str) {
        let Some(worker) = self.workers.get_mut(name) else { return };
        worker.leased -= 1;
        if worker.leased == 0 && worker.streams.is_empty() {
            self.workers.remove(name);
            return;
        }
        for number in &worker.streams {
            if let Some(stream) = self.streams.get(number).filter(|stream| stream.ticket.is_none()) {
                stream.wake.notify_one();
            }
        }
    }

    /// Ends everything: streams find the end, and nothing comes any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for stream in self.streams.values() {
            stream.wake.notify_one();
        }
    }

    /// Wakes the stream that has waited longest for this queue.
    pub(super) fn wake_one(&mut self, queue: &str) {
        let parked = self.queues.get(queue).and_then(|queue| queue.parked.first_key_value());
        if let Some(number) = parked.map(|(_, number)| *number) {
            self.unpark(number);
            if let Some(stream) = self.streams.get(&number) {
                stream.wake.notify_one();
            }
        }
    }

    /// Wakes somebody else for what waits in these queues.
    fn pass_on(&mut self, queues: &[String]) {
        for queue in queues {
            if self.queues.get(queue).is_some_and(|queue| !queue.waiting.is_empty()) {
                self.wake_one(queue);
            }
        }
    }

    fn park(&mut self, number: u64) {
        let ticket = self.number();
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.ticket = Some(ticket);
        for queue in &stream.queues {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.parked.insert(ticket, number);
            }
        }
    }

    fn unpark(&mut self, number: u64) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let Some(ticket) = stream.ticket.take() else { return };
        for queue in &stream.queues {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.parked.remove(&ticket);
            }
        }
    }
}
