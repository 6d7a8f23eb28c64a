//! Wakes an event loop at a time. The loop's own wait counts whole milliseconds; a thread that sleeps is on time within
//! 0.1 ms (the kernel's timer slack is 50 us).

use mio::Waker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// Microseconds since the process began to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(crate) fn now_us(self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// No time.
pub(crate) const NEVER: u64 = u64::MAX;

/// A thread that sleeps until a time and wakes the event loop then.
#[derive(Debug)]
pub(crate) struct Alarm {
    due_us: Arc<AtomicU64>,
    thread: Thread,
}

impl Alarm {
    /// Starts the thread, which lives as long as the process.
    pub(crate) fn start(clock: Clock, waker: Arc<Waker>) -> std::io::Result<Self> {
        let due_us = Arc::new(AtomicU64::new(NEVER));
        let due = due_us.clone();
        let handle = thread::Builder::new().name("alarm".to_owned()).spawn(move || {
            loop {
                let due_us = due.load(SeqCst);
                let now_us = clock.now_us();
                if due_us == NEVER {
                    thread::park();
                } else if now_us < due_us {
                    thread::park_timeout(Duration::from_micros(due_us - now_us));
                } else if due.compare_exchange(due_us, NEVER, SeqCst, SeqCst).is_ok() && waker.wake().is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Alarm { due_us, thread: handle.thread().clone() })
    }

    /// Wakes the loop at that time, and not at the one set before.
    pub(crate) fn set(&self, due_us: u64) {
        let before = self.due_us.swap(due_us, SeqCst);
        if due_us < before {
            self.thread.unpark();
        }
    }
}
